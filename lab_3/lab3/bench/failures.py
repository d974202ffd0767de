"""What requests notice when Redis fails: `.venv/bin/python -m bench.failures` (80 s).

It starts the service, two Valkey servers and a proxy, which is the address of Redis. A steady load runs during all
phases. `--plot` also writes images/failures.png; it needs matplotlib.
Settings: PHASE_SECONDS (8, at least 5), PORT (8000; the proxy uses the next one).
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from .failing_redis import PASSWORD, USER, FailingRedis
from .machine import machine
from .start import PORT, service
from .steady import PERCENT_NEW, RATE, ROWS, Sample, SteadyLoad

PHASE_SECONDS, WARM_UP_SECONDS = float(os.environ.get("PHASE_SECONDS", "8")), 5
PROXY_PORT = int(PORT) + 1
PLOT = Path(__file__).parents[2] / "images" / "failures.png"


class Phase(NamedTuple):
    name: str
    start: float  # s on time.monotonic(), as all times
    changed: float  # Redis is in its new state
    end: float
    log: list[str]  # its lines


def configure_service(folder: Path) -> None:
    """Environment variables of the service: with the cache, with its log in a file, and with the image's keep-alive."""
    log, config_file = folder / "service.log", folder / "log_config.json"
    log.touch()
    config = {"version": 1, "disable_existing_loggers": False, "root": {"handlers": ["file"]}}
    config["handlers"] = {"file": {"class": "logging.FileHandler", "filename": str(log)}}
    config_file.write_text(json.dumps(config))
    os.environ["UVICORN_LOG_CONFIG"] = str(config_file)
    os.environ["UVICORN_TIMEOUT_KEEP_ALIVE"] = "75"
    os.environ["REDIS_URL"] = f"redis://{USER}:{PASSWORD}@127.0.0.1:{PROXY_PORT}/1"


async def run_phases(redis: FailingRedis, log: TextIO) -> tuple[list[Phase], list[Sample]]:
    changes: dict[str, Callable[[], None]] = {
        "up": redis.do_nothing,
        "killed": redis.kill,
        "started again": redis.start,
        "hung": redis.hang,
        "continued": redis.resume,
        "full": redis.fill,
        "not full": redis.restore_memory,
        "failed over": redis.fail_over,
        "38 ms away": redis.move_away,
    }
    phases, load = [], SteadyLoad()
    try:
        server = await asyncio.start_server(redis.proxy.accept, "127.0.0.1", PROXY_PORT)
    except OSError:
        sys.exit(f"port {PROXY_PORT} is in use; set PORT so that it and the next one are free")
    async with server, asyncio.TaskGroup() as tasks:
        with service():
            sender = tasks.create_task(load.run())
            await asyncio.sleep(WARM_UP_SECONDS)
            for name, change in changes.items():
                print(f"{name}, {PHASE_SECONDS:g} s", file=sys.stderr, flush=True)
                start = time.monotonic()
                await asyncio.to_thread(change)
                changed = time.monotonic()
                await asyncio.sleep(PHASE_SECONDS)
                phases.append(Phase(name, start, changed, time.monotonic(), log.readlines()))
            sender.cancel()
    return phases, [sample for sample in load.samples if sample.end >= phases[0].start]


def row(phase: Phase, samples: list[Sample]) -> str:
    """A request belongs to the phase in which it ends. Hits return after the last request without a hit."""
    samples = [sample for sample in samples if phase.start <= sample.end < phase.end]
    hits = sum(sample.hits for sample in samples) / (ROWS * len(samples))
    p50, p99, slowest = np.percentile([sample.latency_ms for sample in samples], [50, 99, 100])
    failed = sum(sample.failed for sample in samples)
    last = max((sample.arrival for sample in samples if not sample.hits), default=phase.changed)
    returned = "never" if last > phase.end - 0.5 else f"{max(0, last - phase.changed):.1f}"
    log = "<br>".join(f"`{line.strip()}`" for line in phase.log)
    return f"| {phase.name} | {hits:.0%} | {p50:.1f} | {p99:.1f} | {slowest:.0f} | {failed} | {returned} | {log} |"


def main() -> None:
    if "--plot" in sys.argv:
        try:
            from .plot import draw
        except ModuleNotFoundError as error:
            sys.exit(f"{error}: --plot needs matplotlib")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        configure_service(folder)
        log = stack.enter_context((folder / "service.log").open())
        phases, samples = asyncio.run(run_phases(FailingRedis(stack), log))
    print(f"\n{machine()}; {RATE} requests/s of {ROWS} block groups, {PERCENT_NEW} % of them new")
    print(f"{len(samples):,} requests, {PHASE_SECONDS:g} s per phase\n")
    print("| Redis | hits | p50, ms | p99, ms | maximum, ms | failed requests | hits return after, s | log |")
    print("|---|---|---|---|---|---|---|---|")
    for phase in phases:
        print(row(phase, samples))
    if "--plot" in sys.argv:
        draw(samples, {phase.name: phase.start for phase in phases}, phases[-1].end, PLOT)
    sys.exit(any(sample.failed for sample in samples))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
