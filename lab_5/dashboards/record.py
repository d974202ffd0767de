"""Runs both services under a load of all kinds for 75 s, and draws what their dashboards show of it:
`.venv/bin/python -m dashboards.record`.
"""

import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from services import HERE, running

from . import draw
from .live import Live, live, missing
from .traffic import Sender, housing, k6, overload, sentiment

SECONDS = 75


def of_all_kinds(at: Live, start: float) -> None:
    """Texts all the time; in the second half a pod of lab_4 is broken, and more texts come, twice, than may wait."""
    housing_sender, broken, texts = Sender(at.lab_4), Sender(at.broken), Sender(at.final_project)
    floods = [start + share * SECONDS for share in (0.5, 0.75)]
    while (now := time.time()) < start + SECONDS:
        sentiment(texts)
        if now > start + SECONDS / 2:
            housing(housing_sender, broken)
        if floods and now > floods[0]:
            floods.pop(0)
            threading.Thread(target=overload, args=[texts]).start()
        time.sleep(0.05)


def main() -> None:
    if missing():
        sys.exit(missing())
    with TemporaryDirectory() as folder, live(Path(folder)) as at:
        time.sleep(8)  # a rate needs some scrapes
        start = time.time()
        load = k6("lab_4", at.lab_4, SHAPE="open", RATE=150, CACHE_RATE=0.7, DURATION=f"{SECONDS}s")
        with running(load, Path(folder) / "k6.log", HERE):
            of_all_kinds(at, start)
        draw.main(draw.Time(at.prometheus, start, start + SECONDS, "5s"))


if __name__ == "__main__":
    main()
