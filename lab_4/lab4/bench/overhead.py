"""What the metrics cost: `.venv/bin/python -m bench.overhead` (1 minute, needs wrk).

Starts the service with and without PrometheusMiddleware, alternately, and sends GET /hello, its cheapest request.
Settings: ROUNDS (5), SECONDS (5), PORT (8000).
"""

import os
import re
import shutil
import subprocess
import sys
from statistics import median

from .machine import machine
from .start import ROUNDS, URL, service

SECONDS = int(os.environ.get("SECONDS", "5"))
APPS = {"without": "bench.without_metrics:app", "with": "src.main:app"}


def microseconds_per_request(app: str) -> float:
    command = ["wrk", "--threads", "1", "--connections", "8", "--duration", f"{SECONDS}s", URL + "/hello?name=Ada"]
    with service(app):
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(output)
    return 1e6 / float(re.findall(r"Requests/sec: +([\d.]+)", output)[0])


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: https://github.com/wg/wrk")
    results: dict[str, list[float]] = {name: [] for name in APPS}
    for number in range(ROUNDS):
        for name, app in APPS.items():
            results[name].append(microseconds_per_request(app))
            print(f"round {number + 1} of {ROUNDS}: {name} {results[name][-1]:.0f} us", file=sys.stderr)
    added = [after - before for before, after in zip(*results.values(), strict=True)]
    print(f"{machine()}; GET /hello, 8 connections, {ROUNDS} rounds of {SECONDS} s; median (lowest to highest)\n")
    print("| metrics | time per request, us |\n|---|---|")
    for name, values in [*results.items(), ("difference", added)]:
        print(f"| {name} | {median(values):.0f} ({min(values):.0f} to {max(values):.0f}) |")


if __name__ == "__main__":
    main()
