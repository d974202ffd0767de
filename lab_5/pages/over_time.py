"""What a run with a timeline was like as time went on."""

import numpy as np
from numpy.typing import NDArray

from report import Result

Column = NDArray[np.float64]
QUIET, FULL = 1 / 8, 1 / 2  # of a step's run: its load begins, and ends


def column(run: Result, name: str) -> Column:
    """NaN where there is none."""
    return np.array([np.nan if value is None else value for value in run["timeline"][name]])


def failures(run: Result) -> Column:
    """Answers in each step that were not 200, or none."""
    others = [name for name in run["timeline"] if name.isdigit() and name != "200"]
    return sum((column(run, name) for name in others), np.zeros(len(run["timeline"]["second"])))


def step(run: Result) -> float:
    """Seconds."""
    first, second, *_ = run["timeline"]["second"]
    return float(second - first)


def duration(run: Result) -> float:
    return float(run["settings"]["DURATION"].removesuffix("s"))


def planned(run: Result) -> Column:
    """Requests/s of a run with the shape `step`, as load.js has it."""
    at, rate = column(run, "second") / duration(run), float(run["settings"]["RATE"])
    return np.where((at >= QUIET) & (at < FULL), rate, np.ceil(rate / 10))


def when(run: Result, name: str, value: float, after: float) -> float:
    """Seconds from `after` to the end of the step in which a column first has a value; ValueError if it never has."""
    seconds = column(run, "second")
    found = seconds[(column(run, name) == value) & (seconds >= after)]
    if not len(found):
        raise ValueError(f"{run['name']}: {name} was never {value} after {after:.0f} s")
    return float(found[0] + step(run) - after)


def slope(run: Result) -> float:
    """MB an hour that the memory grew by, in the last two thirds: a line through all of them."""
    seconds, memory = column(run, "second"), column(run, "process_resident_memory_bytes") / 1e6
    late = (seconds >= duration(run) / 3) & np.isfinite(memory)
    return float(np.polyfit(seconds[late] / 3600, memory[late], 1)[0])


def hits(run: Result) -> Column:
    """Share of the items in each step, %."""
    found, missed = (np.diff(column(run, f"cache_{what}_total"), prepend=np.nan) for what in ("hits", "misses"))
    both = np.where(found + missed > 0, found + missed, np.nan)
    return np.array(100 * found / both)
