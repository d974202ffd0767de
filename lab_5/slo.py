"""Draws images/slo-windows.png for slo.md: `.venv/bin/python slo.py`."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt

LIMIT = 14.4 * 0.005  # burn rate x error budget
# The error ratio in each second. The arrival rate is constant; 50 % of the requests fail for 2 and for 20 minutes.
RATIO = np.zeros(7200)
RATIO[600:720] = RATIO[2400:3600] = 0.5


def mean_of_last(seconds: int) -> NDArray[np.float64]:
    """For each second, the mean of the window that ends there."""
    return np.convolve(RATIO, np.ones(seconds) / seconds)[: len(RATIO)]


WINDOWS = {"1 hour": mean_of_last(3600), "5 minutes": mean_of_last(300)}
ABOVE = {name: ratio > LIMIT for name, ratio in WINDOWS.items()}
FIRES = np.all(list(ABOVE.values()), axis=0)


def draw() -> None:
    minutes = np.arange(len(RATIO)) / 60
    _, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    axes.fill_between(minutes, 100 * RATIO, color="0.9", label="50 % of the requests fail")
    for (name, ratio), color in zip(WINDOWS.items(), ("tab:blue", "tab:orange"), strict=True):
        axes.plot(minutes, 100 * ratio, color=color, label=f"error ratio of the last {name}")
    axes.axhline(100 * LIMIT, color="tab:red", linestyle="--", label="limit: 14.4 x 0.5 % = 7.2 %")
    axes.fill_between(minutes, 56, 60, where=FIRES, color="tab:red", label="ErrorBudgetBurnFast fires")
    axes.set(xlabel="time, minutes", ylabel="error ratio, %", xlim=(0, 120), ylim=(0, 60))
    axes.legend(loc="upper right", fontsize=8)
    axes.grid(alpha=0.3)
    plt.savefig(Path(__file__).with_name("images") / "slo-windows.png", dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    draw()
