"""What is asked of lab_4's service, for Findings.md of this lab."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from services import HERE, LAB_4, service, valkey

from .run import ROUNDS, SECONDS, runner

BATCHER = HERE.parent / "final_project" / "finalproject"  # for bench/batched.py
CACHE_RATES = ("0", "0.5", "1")
OPEN = {"SHAPE": "open", "RATE": "200"}
INVALID_RATES = ("0", "0.03")
COST_RATES = ("0", "0.25", "0.5", "1")
COSTS = ("0", "2", "5", "20")  # milliseconds of a call of the model, at least

run = runner(HERE)


def lab_4(folder: Path, redis: str = "") -> AbstractContextManager[str]:
    return service(LAB_4, "src.main:app", folder / "log", LAB_4, REDIS_URL=redis)


def variant(app: str, folder: Path, **environment: str) -> AbstractContextManager[str]:
    """In lab_4's environment, and found from here."""
    return service(LAB_4, app, folder / "log", HERE, PYTHONPATH=f"{LAB_4}{os.pathsep}{BATCHER}", **environment)


def cache_rates(folder: Path) -> None:
    with valkey(folder) as redis, lab_4(folder, redis) as url:
        for turn in range(1, ROUNDS + 1):
            for shape in ("closed", "open"):
                for rate in CACHE_RATES:
                    run(f"{shape}-{rate}-{turn}", url, SHAPE=shape, CACHE_RATE=rate, RATE=OPEN["RATE"])


def invalid_rate(folder: Path) -> None:
    with valkey(folder) as redis, lab_4(folder, redis) as url:
        for turn in range(1, ROUNDS + 1):
            for rate in INVALID_RATES:
                run(f"invalid-{rate}-{turn}", url, SECONDS / 3, **OPEN, CACHE_RATE="0", INVALID_RATE=rate)


def cost_of_a_miss(folder: Path) -> None:
    for cost in COSTS:
        with (
            valkey(folder) as redis,
            variant("bench.slow:app", folder, MILLISECONDS=cost) as none,
            variant("bench.slow:app", folder, MILLISECONDS=cost, REDIS_URL=redis) as cached,
        ):
            for turn in range(1, ROUNDS + 1):
                run(f"cost-{cost}-none-{turn}", none, SECONDS / 7, CACHE_RATE="0", USERS="16")
                for rate in COST_RATES:
                    run(f"cost-{cost}-{rate}-{turn}", cached, SECONDS / 7, CACHE_RATE=rate, USERS="16")


def past_capacity(folder: Path) -> None:
    with lab_4(folder) as url:
        for turn in range(1, ROUNDS + 1):
            closed = run(f"past-closed-{turn}", url, SECONDS / 4, CACHE_RATE="0")
            rate = str(round(1.3 * closed["requests_per_second"]))
            run(f"past-open-{turn}", url, SECONDS / 4, SHAPE="open", RATE=rate, WAITING="6000", CACHE_RATE="0")


def batches(folder: Path) -> None:
    with lab_4(folder) as one, variant("bench.batched:app", folder) as many:
        for turn in range(1, ROUNDS + 1):
            for name, url in (("one-by-one", one), ("batched", many)):
                run(f"{name}-{turn}", url, SECONDS / 3, CACHE_RATE="0")
