"""The command line and the result files of the benchmarks.

A run writes results/local/, which git ignores. With --commit it writes results/, which Findings.md shows.
"""

import argparse
import gzip
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from .machine import machine
from .servers import HTTP_PARSER, PROJECT, MeasurementError

RESULTS = PROJECT.parent / "results"
Result = dict[str, Any]


def version() -> str:
    """The version of the service."""
    (number,) = re.findall(r'version="([^"]+)"', (PROJECT / "finalproject/main.py").read_text())
    return str(number)


def setting(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def choices(name: str, known: list[str]) -> list[str]:
    """The names in an environment variable, separated by commas; all of them if it is not set."""
    chosen = os.environ.get(name, ",".join(known)).split(",")
    if unknown := [item for item in chosen if item not in known]:
        sys.exit(f"{name}: {unknown[0]} is not one of {','.join(known)}")
    return chosen


def read_texts(path: Path) -> list[str]:
    """The texts of SST-2's dev.tsv, which may be a .gz file, or of a file with one text per line."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    header, *lines = content.decode().splitlines()
    return [line.split("\t")[0].strip() for line in lines] if header.startswith("sentence\t") else [header, *lines]


def run(name: str, measure: Callable[[argparse.Namespace], Result], description: str, texts: bool = True) -> None:
    """Parses the command line, measures, writes NAME.json and prints its table."""
    from .findings import TABLES  # it imports this module

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if texts:
        parser.add_argument("texts", type=Path, help="dev.tsv of SST-2, or a file with one text per line")
    parser.add_argument("--commit", action="store_true", help="write results/ and not results/local/")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `finally` stops the servers
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


def spread(values: list[float], form: str = ",.0f") -> str:
    """The median, and the lowest to the highest value."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """One ratio per round: both values of a round were measured within seconds."""
    return [numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]
