"""Draws images/*.png and writes the tables of Findings.md, from results/: `.venv/bin/python -m bench.plots`."""

import json
from itertools import pairwise
from statistics import median
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from .findings import IMAGES, digest, filled
from .results import Result
from .servers import PROJECT
from .tables import VARIANTS


def overload(result: Result) -> None:
    _, (goodput, latency) = plt.subplots(1, 2, figsize=(9, 3.6))
    for variant, runs in result["runs"].items():
        factors = sorted({run["factor"] for run in runs})
        grouped = [[run for run in runs if run["factor"] == factor] for factor in factors]
        sent = [median(run["sent_per_second"] / run["capacity"] for run in group) for group in grouped]
        share = [median(run["goodput"] / run["capacity"] for run in group) for group in grouped]
        p99 = [median(run["p99_ms"] or float("nan") for run in group) for group in grouped]
        goodput.plot(sent, share, "o-", label=VARIANTS[variant])
        latency.plot(sent, p99, "o-", label=VARIANTS[variant])
    goodput.plot([0, 1, 4], [0, 1, 1], color="grey", lw=0.8, label="ideal")
    goodput.set(xlabel="arrival rate / capacity", ylabel="goodput / capacity", title="Goodput under overload", ylim=0)
    latency.set(xlabel="arrival rate / capacity", ylabel="p99 of the 200s, ms", title="Latency under overload")
    latency.set_yscale("log")
    for axes in (goodput, latency):
        axes.grid(alpha=0.3)
        axes.legend()


def rows(count: int) -> list[Axes]:
    _, axes = plt.subplots(count, 1, figsize=(9, 1.8 * count), sharex=True)
    for row in axes:
        row.grid(alpha=0.3)
    return list(axes)


def column(run: dict[str, Any], name: str) -> list[float]:
    return [float("nan") if value is None else value for value in run["columns"][name]]


def failures(run: dict[str, Any]) -> list[float]:
    """Per step, the responses with another status than 200, and the requests without a response."""
    names = [name for name in run["columns"] if name.isdigit() and name != "200"]
    return [sum(values) for values in zip(*(run["columns"][name] for name in names), strict=True)] or [
        0.0 for _ in run["columns"]["second"]
    ]


def autoscaler(result: Result) -> None:
    run = result["autoscaler"]
    seconds = column(run, "second")
    step = seconds[1] - seconds[0]
    first, second, _ = run["seconds"]
    planned = [run["rates"][(at >= first) + (at >= first + second)] for at in seconds]
    rates, pods, latency = rows(3)
    rates.step(seconds, planned, color="grey", lw=0.8, where="post", label="arrival rate")
    rates.step(seconds, [count / step for count in column(run, "200")], where="post", label="goodput")
    rates.step(seconds, [count / step for count in failures(run)], where="post", label="429, or no response")
    rates.set(ylabel="requests/s", title="The autoscaler, from 1 pod to 4 and back")
    pods.step(seconds, column(run, "wanted"), color="grey", lw=0.8, where="post", label="wanted")
    pods.step(seconds, column(run, "ready"), where="post", label="ready")
    pods.set(ylabel="pods", ylim=(0, 4.5), yticks=range(5))
    latency.step(seconds, column(run, "p99"), where="post", label="p99 of the 200s")
    latency.set(ylabel="ms", yscale="log", xlabel="seconds")
    for axes in (rates, pods, latency):
        axes.legend(loc="upper right")


def soak(result: Result) -> None:
    minutes = [second / 60 for second in column(result, "second")]
    memory, latency, hit_ratio, failed = rows(4)
    mib = [value / 2**20 for value in column(result, "process_resident_memory_bytes")]
    memory.plot(minutes, mib)
    memory.set(ylabel="memory, MiB", ylim=(0, 1.2 * np.nanmax(mib)))
    memory.set(title="Soak test at half the capacity; Redis restarts every 10 minutes")
    latency.plot(minutes, column(result, "p99"))
    latency.set(ylabel="p99, ms", ylim=0)
    hits, misses = (differences(column(result, f"cache_{name}_total")) for name in ("hits", "misses"))
    hit_ratio.plot(minutes, [hit / max(1, hit + miss) for hit, miss in zip(hits, misses, strict=True)])
    hit_ratio.set(ylabel="hit ratio", ylim=(0, 0.6))
    failed.plot(minutes, failures(result))
    failed.set(ylabel="failed requests", ylim=(0, max(1, 1.1 * max(failures(result)))), xlabel="minutes")


def differences(values: list[float]) -> list[float]:
    return [float("nan"), *(after - before for before, after in pairwise(values))]


PLOTS = {"overload": overload, "autoscaler": autoscaler, "soak": soak}


def main() -> None:
    for name, file in IMAGES.items():
        if file.exists():
            PLOTS[name](json.loads(file.read_text()))
            plt.tight_layout()
            plt.savefig(PROJECT.parent / f"images/{name}.png", dpi=120, metadata={"Description": digest(file)})
            plt.close()
    page = PROJECT.parent / "Findings.md"
    page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
