"""An hour of the final project at half its capacity, Redis restarted every ten minutes:
`.venv/bin/python -m bench.soak`.

MINUTES (60) can be set. Half of the texts are known, so that losing Redis is felt: then all are computed. Writes
results/soak.json of the final project; `findings.py` draws it.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from measure import Result, asked
from services import FINAL, LAB_4, free_port, python, valkey
from timeline import Timeline

from .final_project import final_project
from .run import runner

MINUTES = float(os.environ.get("MINUTES", "60"))
SEEN = ("process_resident_memory_bytes", "cache_hits_total", "cache_misses_total")
EVERY, AWAY = 600, 5  # seconds from one loss of Redis to the next, and without it
STEP = 15  # seconds


def restarted(folder: Path, port: int, every: float, away: float, over: threading.Event) -> None:
    """Redis, empty at first and after each time that it was away."""
    while not over.is_set():
        with valkey(folder, port):
            over.wait(every - away)
        over.wait(away)


def soak(run: Callable[..., Result], folder: Path, seconds: float, every: float, away: float, step: float) -> Result:
    port, over = free_port(), threading.Event()
    python(LAB_4)  # Valkey comes with it, and should be there when its time comes
    with final_project(folder) as url:
        capacity = run("soak-capacity", url, seconds / 60, CACHE_RATE="0")["requests_per_second"]
    redis = threading.Thread(target=restarted, args=(folder, port, every, away, over))
    redis.start()
    try:
        with final_project(folder, f"redis://127.0.0.1:{port}") as url:

            def look() -> dict[str, float]:
                families = text_string_to_metric_families(asked(f"{url}/metrics"))
                return {each.name: each.value for family in families for each in family.samples if each.name in SEEN}

            load = {"SHAPE": "open", "CACHE_RATE": "0.5", "RATE": str(round(capacity / 2)), "WAITING": "1000"}
            return run("soak", url, seconds, timeline=Timeline(look, step), **load)
    finally:
        over.set()
        redis.join()


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all that was started is stopped then, too
    try:
        with tempfile.TemporaryDirectory() as folder:
            soak(runner(FINAL.parent), Path(folder), 60 * MINUTES, EVERY, AWAY, STEP)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
