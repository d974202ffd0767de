"""The plot of `bench.failures`: latency and hit ratio over time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from .steady import ROWS, Sample

mpl.use("agg")
from matplotlib import pyplot as plt


def draw(samples: Sequence[Sample], starts: dict[str, float], end: float, path: Path) -> None:
    """Plots each request, and the phases as bands. `starts` has the start of each phase, `end` is that of the last."""
    bounds = np.array([*starts.values(), end])
    zero, bounds = bounds[0], bounds - bounds[0]
    times = np.array([sample.arrival for sample in samples]) - zero
    latencies = np.array([sample.latency_ms for sample in samples])
    failed = np.array([sample.failed for sample in samples])

    plt.rcParams.update({"font.size": 10})
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(10, 5.5), sharex=True, height_ratios=[2, 1], layout="constrained"
    )
    top.scatter(times, latencies, s=3, linewidth=0)
    if failed.any():
        top.scatter(times[failed], latencies[failed], color="red", marker="x", label="failed")
        top.legend()
    top.set(yscale="log", ylabel="latency, ms")
    top.yaxis.set_major_formatter("{x:g}")

    seconds = np.arange(bounds[-1])
    requests, _ = np.histogram(times, seconds)
    hits_per_second, _ = np.histogram(times, seconds, weights=[sample.hits for sample in samples])
    bottom.stairs(100 * hits_per_second / (ROWS * requests), seconds, fill=True)
    bottom.set(xlabel="time, s", ylabel="hits, %", ylim=(0, 100), xlim=(0, bounds[-1]))

    for number, (name, start, stop) in enumerate(zip(starts, bounds[:-1], bounds[1:], strict=True)):
        for axes in (top, bottom):
            axes.axvspan(start, stop, color="0.92" if number % 2 else "white", zorder=0)
        label = "\n".join(name.rsplit(" ", 1))
        top.annotate(label, ((start + stop) / 2, 1.02), xycoords=("data", "axes fraction"), ha="center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
