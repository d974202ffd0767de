"""What is asked of the final project's service, for its Findings.md."""

from contextlib import AbstractContextManager
from pathlib import Path

from services import FINAL, service, valkey

from .run import ROUNDS, SECONDS, runner

CACHE_RATES = ("0", "0.95")
TIMES = ("0.5", "1", "1.5", "2", "4")  # the capacity

run = runner(FINAL.parent)


def final_project(folder: Path, redis: str = "") -> AbstractContextManager[str]:
    return service(FINAL, "finalproject.main:app", folder / "log", FINAL, REDIS_URL=redis)


def final_cache_rates(folder: Path) -> None:
    with valkey(folder) as redis, final_project(folder, redis) as url:
        for turn in range(1, ROUNDS + 1):
            for rate in CACHE_RATES:
                run(f"closed-{rate}-{turn}", url, SHAPE="closed", CACHE_RATE=rate, RATE="200")


def final_past_capacity(folder: Path) -> None:
    with final_project(folder) as url:
        capacity = run("capacity", url, SECONDS / 2, CACHE_RATE="0")["requests_per_second"]
        for times in TIMES:
            rate = str(round(float(times) * capacity))
            run(f"times-{times}", url, SECONDS / 2, CACHE_RATE="0", SHAPE="open", RATE=rate, WAITING="4000")
