"""What happens while a run goes on, in steps of time."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

import numpy as np

Request = tuple[float, float, str]  # seconds since 1970 of its end, milliseconds, status of the answer
Look = Callable[[], dict[str, float]]  # at something beside the requests; what it finds, by name


class Timeline:
    """What a run was like as time went on, in steps; beside the requests, what a look at something else tells."""

    def __init__(self, look: Look, step: float) -> None:
        self._look, self._step = look, step
        self.seen: list[tuple[float, dict[str, float]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._step / 2):  # so that each step has one
            self.seen.append((time.time(), self._look()))

    def of(self, requests: list[Request]) -> dict[str, list[float | None]]:
        """Columns: the second at which a step begins, its answers by status, their p99 in milliseconds where there are
        some, and the last look in it."""
        first = min(at for at, _, _ in requests)
        last = max(at for at, _, _ in requests)
        steps = range(int((last - first) / self._step))  # whole ones

        def step(at: float) -> int:
            return int((at - first) // self._step)

        statuses = sorted({status for _, _, status in requests})
        counts = Counter((step(at), status) for at, _, status in requests)
        times: dict[int, list[float]] = {}
        for at, value, status in requests:
            if status == "200":
                times.setdefault(step(at), []).append(value)
        seen = {(step(at), what): value for at, looked in self.seen for what, value in looked.items()}
        return {
            "second": [number * self._step for number in steps],
            **{status: [counts[number, status] for number in steps] for status in statuses},
            "p99": [round(float(np.percentile(times[n], 99)), 2) if n in times else None for n in steps],
            **{what: [seen.get((number, what)) for number in steps] for what in sorted({name for _, name in seen})},
        }
