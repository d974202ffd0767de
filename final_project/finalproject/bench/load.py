"""Load with wrk (https://github.com/wg/wrk), a closed workload: each connection sends a request after each response."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .servers import MeasurementError

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("texts.lua")


class Load(NamedTuple):
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int  # responses with another status than 200, and requests without a response


@contextlib.contextmanager
def text_file(texts: list[str]) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        yield file.name


def wrk(url: str, seconds: float, connections: int = CONNECTIONS, texts: str = "", seed: int | None = None) -> Load:
    """Sends GET requests to the URL, or with `texts` (a file) POST requests to /predict, with one text each.

    With a seed, no text has been sent before: every request is a cache miss.
    """
    if not shutil.which("wrk"):
        raise MeasurementError("wrk is not installed: apt install wrk, or brew install wrk")
    environment = {"PATH": os.environ["PATH"], **({"TEXTS": texts} if texts else {})}
    environment |= {} if seed is None else {"SEED": str(seed)}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(SCRIPT), url]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603
    match = re.search(r"RESULT rps=([\d.]+) p50=([\d.]+)ms p99=([\d.]+)ms failed=(\d+)", process.stdout)
    if not match:
        raise MeasurementError(f"wrk {url}: {process.stderr.strip() or process.stdout.strip()}")
    return Load(float(match[1]), float(match[2]), float(match[3]), int(match[4]))
