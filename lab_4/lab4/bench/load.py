"""Requests a second, in alternating runs, so that a slow moment of the machine falls on all alike.

`.venv/bin/python -m bench.load` sends 1 block group a request over 32 connections, and 1,000 over 4, and beside the
latter runs a loop without a server that parses the same bodies, validates and predicts. RIVALS=path of a script that
serves the same pickle with other servers and prints their `NAME rps=...` adds those; ROUNDS (5) and SECONDS (5) can be
set. It needs wrk (Debian: apt install wrk; macOS: brew install wrk).
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from src.main import model
from src.model import features
from src.schemas import Batch, BlockGroup, Predictions

from .machine import machine
from .start import URL, service

PROJECT = Path(__file__).parents[1]
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "5")), int(os.environ.get("SECONDS", "5"))
RIVALS = os.environ.get("RIVALS")
LOW_HIGH = ((0.5, 12), (1, 52), (2, 9), (0.8, 1.4), (100, 4000), (1.5, 4.5), (32.5, 42), (-124.3, -114.3))
Rates = dict[str, list[float]]


def wrk(rows: int, connections: int, seconds: int) -> float:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", "bench/rows.lua", URL]
    environment = os.environ | {"ROWS": str(rows)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True).stdout  # noqa: S603
    rate, failed = re.search(r"rps=([\d.]+).*failed=(\d+)", done).groups()  # type: ignore[union-attr]
    if failed != "0":
        sys.exit(f"{failed} requests failed: {done}")
    return float(rate)


def rivals(rows: int, connections: int) -> dict[str, float]:
    if not RIVALS:
        return {}
    settings = {"DURATION": str(SECONDS), "CONNECTIONS": str(connections)}
    command = [RIVALS, "housing", str(PROJECT / "model_pipeline.pkl"), "-", str(rows)]
    done = subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return {name: float(rate) for name, rate in re.findall(r"^(\w+) +rps=([\d.]+)", done, re.MULTILINE)}


def loop_without_a_server(bodies: list[bytes]) -> float:
    began, count = time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        batch = Batch.model_validate_json(bodies[count % len(bodies)])
        Predictions(predictions=model.predict(features(batch.data))).model_dump_json()
        count += 1
    return count / (time.monotonic() - began)


def compare(title: str, rows: int, connections: int, bodies: list[bytes]) -> None:
    rates: Rates = defaultdict(list)
    for turn in range(ROUNDS):
        print(f"{title}: round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        for name, app in {"this lab": "src.main:app", "this lab, run_in_executor": "bench.executor:app"}.items():
            with service(app):
                wrk(rows, connections, 2)
                rates[name].append(wrk(rows, connections, SECONDS))
        if bodies:
            rates["no server, a loop"].append(loop_without_a_server(bodies))
        for name, rate in rivals(rows, connections).items():
            rates[name].append(rate)
    print(f"\n{title}\n\n| | requests/s, median | lowest to highest | against this lab |\n|---|---|---|---|")
    for name, those in sorted(rates.items(), key=lambda item: -median(item[1])):
        ratio = median(other / ours for other, ours in zip(those, rates["this lab"], strict=False))
        print(f"| {name} | {median(those):.1f} | {min(those):.1f} to {max(those):.1f} | {ratio:.2f} |")


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt install wrk, or brew install wrk")
    draw = random.Random(0)  # noqa: S311 - not for secrets
    batch = [[round(draw.uniform(*edges), 4) for edges in LOW_HIGH] for _ in range(20_000)]
    groups = [dict(zip(BlockGroup.model_fields, row, strict=True)) for row in batch]
    bodies = [json.dumps({"data": groups[first : first + 1000]}).encode() for first in range(0, 20_000, 1000)]
    print(f"{machine()}; {ROUNDS} rounds of {SECONDS} s")
    compare("1 block group a request, 32 connections", 1, 32, [])
    compare("1,000 block groups a request, 4 connections", 1000, 4, bodies)


if __name__ == "__main__":
    main()
