"""The batch budget: `.venv/bin/python -m bench.budget dev.tsv` (3 minutes, needs wrk).

Compares values of BATCH_TOKENS in alternating rounds: 32 connections, one text per request, no cache.
Settings: ROUNDS (5), SECONDS (2) of one measurement, HTTP (the service's).
"""

import argparse
import sys

from .command import run
from .load import text_file, wrk
from .results import Result, read_texts, setting
from .servers import service

ROUNDS, SECONDS = setting("ROUNDS", 5), setting("SECONDS", 2)
BUDGETS = (48, 96, 144, 192, 256, 384)


def measure(arguments: argparse.Namespace) -> Result:
    values: dict[str, dict[str, list[float]]] = {
        str(budget): {"requests_per_second": [], "p99_ms": []} for budget in BUDGETS
    }
    with text_file(read_texts(arguments.texts)) as texts:
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for budget in BUDGETS:
                with service(BATCH_TOKENS=str(budget)) as server:
                    wrk(server.url, 1, texts=texts)  # warm-up
                    load = wrk(server.url, SECONDS, texts=texts)
                values[str(budget)]["requests_per_second"].append(load.requests_per_second)
                values[str(budget)]["p99_ms"].append(load.p99_ms)
    return {"rounds": ROUNDS, "seconds": SECONDS, "values": values}


if __name__ == "__main__":
    run("budget", measure, __doc__ or "")
