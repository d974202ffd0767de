"""The command line and the result files of the benchmarks.

A run writes results/local/, which git ignores. With --commit it writes results/, which Findings.md shows.
"""

import argparse
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from .findings import TABLES
from .machine import machine
from .results import RESULTS, Result
from .servers import HTTP_PARSER, PROJECT, MeasurementError


def version() -> str:
    """The version of the service."""
    (number,) = re.findall(r'version="([^"]+)"', (PROJECT / "finalproject/main.py").read_text())
    return str(number)


def run(name: str, measure: Callable[[argparse.Namespace], Result], description: str, texts: bool = True) -> None:
    """Parses the command line, measures, writes NAME.json and prints its table."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if texts:
        parser.add_argument("texts", type=Path, help="dev.tsv of SST-2, or a file with one text per line")
    parser.add_argument("--commit", action="store_true", help="write results/ and not results/local/")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # `finally` stops the servers
    try:
        result = {"machine": machine(), "version": version(), "http": HTTP_PARSER} | measure(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except MeasurementError as error:
        sys.exit(str(error))
    write(name, result, arguments.commit)
    print(TABLES[name](result))


def write(name: str, result: Result, commit: bool) -> None:
    folder = RESULTS if commit else RESULTS / "local"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    text = json.dumps(result, indent=1)
    text = re.sub(r"\[[^][{}]*\]", lambda match: re.sub(r"\s+", " ", match[0]), text)  # a list of numbers is one line
    file.write_text(text + "\n")
    print(f"{file}\n", file=sys.stderr)
