"""A run of an experiment, and what it says on the way."""

import os
from collections.abc import Callable
from pathlib import Path

from measure import Result, measure

SECONDS, ROUNDS = int(os.environ.get("SECONDS", "60")), int(os.environ.get("ROUNDS", "3"))
ANY = {"P95": "600000", "P99": "600000"}  # these are to be found out


def runner(where: Path) -> Callable[..., Result]:
    def run(name: str, url: str, seconds: float = SECONDS, **settings: str) -> Result:
        given = {"URL": url, **ANY, **settings, "DURATION": f"{max(2, round(seconds))}s"}
        result = measure(where, name, given)
        of = result["milliseconds"]
        said = f"{result['requests_per_second']:7.1f} requests/s, p50 {of['50']} ms, p99 {of['99']} ms"
        print(f"{name:24} {said}  {result['answers']}", flush=True)
        return result

    return run
