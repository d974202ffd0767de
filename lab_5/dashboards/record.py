"""Runs the service under a load of all kinds for 75 s, and draws what its dashboard shows of it:
`.venv/bin/python -m dashboards.record`.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from services import HERE, running

from . import draw
from .live import Live, live, missing
from .traffic import Sender, housing, k6

SECONDS = 75


def of_all_kinds(at: Live, start: float) -> None:
    """In the second half a pod is broken."""
    sender, broken = Sender(at.lab_4), Sender(at.broken)
    time.sleep(start + SECONDS / 2 - time.time())
    while time.time() < start + SECONDS:
        housing(sender, broken)
        time.sleep(0.05)


def main() -> None:
    if missing():
        sys.exit(missing())
    with TemporaryDirectory() as folder, live(Path(folder)) as at:
        time.sleep(8)  # a rate needs some scrapes
        start = time.time()
        load = k6(at.lab_4, SHAPE="open", RATE=150, CACHE_RATE=0.7, DURATION=f"{SECONDS}s")
        with running(load, Path(folder) / "k6.log", HERE):
            of_all_kinds(at, start)
        draw.main(draw.Time(at.prometheus, start, start + SECONDS, "5s"))


if __name__ == "__main__":
    main()
