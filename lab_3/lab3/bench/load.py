"""Load with wrk in alternating rounds, and a Markdown table of throughput and latency.

Each round starts and measures each server once, so a slow moment of the machine affects all servers.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .machine import machine
from .start import PORT, ROUNDS

SECONDS = int(os.environ.get("SECONDS", "5"))
SCRIPT = Path(__file__).with_name("rows.lua")


class Result(NamedTuple):
    requests_per_second: float
    p50_ms: float
    p99_ms: float


class MeasurementError(Exception):
    """A server did not start, or a request failed."""


def require_wrk() -> None:
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: apt install wrk, or brew install wrk")


def measure(url: str, rows: int, connections: int, seconds: int) -> Result:
    """Sends requests with `rows` random block groups each. Raises a MeasurementError if one of them failed."""
    variables = os.environ | {"ROWS": str(rows), "PROTOCOL": "v2" if "/v2/" in url else "json"}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), url]
    process = subprocess.run(command, env=variables, capture_output=True, text=True)  # noqa: S603
    found = re.search(r"RESULT rps=([\d.]+) p50=([\d.]+)ms p99=([\d.]+)ms failed=(\d+)", process.stdout)
    if not found or found[4] != "0":
        reason = f"{found[4]} requests failed" if found else process.stderr.strip() or process.stdout.strip()
        raise MeasurementError(f"wrk {url}: {reason}")
    return Result(float(found[1]), float(found[2]), float(found[3]))


def warm_up_and_measure(url: str, rows: int, connections: int) -> Result:
    measure(url, rows, connections, min(2, SECONDS))
    return measure(url, rows, connections, SECONDS)


def wait_until_port_is_free() -> None:
    for _ in range(50):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", int(PORT))):
                return
        time.sleep(0.1)  # the previous server may still be closing
    raise MeasurementError(f"port {PORT} is in use; set PORT to a free one")


def print_comparison(measurements: dict[str, Callable[[], Result]], rows: int, connections: int) -> bool:
    """Runs the rounds and prints the table. The ratios are to the first name. Returns whether nothing failed.

    A failed measurement is printed, and its server is left out of the table.
    """
    baseline = next(iter(measurements))
    settings = f"{connections} connections, {rows:,} block group{'s' * (rows > 1)} per request"
    results: dict[str, list[Result]] = {name: [] for name in measurements}
    for number in range(1, ROUNDS + 1):
        for name in list(results):
            print(f"{settings}, round {number} of {ROUNDS}: {name}", file=sys.stderr, flush=True)
            try:
                wait_until_port_is_free()
                results[name].append(measurements[name]())
            except (MeasurementError, OSError) as error:
                if name == baseline:
                    sys.exit(f"{name}: {error}")
                print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
                del results[name]
    print(f"\n{machine()}; {ROUNDS} rounds of {SECONDS} s, {settings}\n")
    print(
        f"| | requests/s (lowest to highest) | p99, ms | ratio to {baseline} (lowest to highest) |\n|---|---|---|---|"
    )
    for name, rounds in results.items():
        rates, latencies = [result.requests_per_second for result in rounds], [result.p99_ms for result in rounds]
        ratios = [rate / first.requests_per_second for rate, first in zip(rates, results[baseline], strict=True)]
        print(f"| {name} | {spread(rates, ',.0f')} | {median(latencies):.0f} | {spread(ratios, '.2f')} |", flush=True)
    return len(results) == len(measurements)


def spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
