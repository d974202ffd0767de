"""The pictures of the final project's Findings.md."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.final_project import TIMES
from report import Picture, Result, Results, sent_rate

from .over_time import column, failures, hits, planned, step


def above_capacity(those: Results) -> list[Result]:
    drawn = [those[f"times-{times}"] for times in TIMES]
    at = [float(run["settings"]["RATE"]) for run in drawn]
    _, (rates, times) = plt.subplots(1, 2, figsize=(9, 3.4))
    rates.plot(at, at, color="grey", lw=0.8, label="planned")
    rates.plot(at, [sent_rate(run) for run in drawn], "o-", label="sent")
    rates.plot(at, [run["requests_per_second"] for run in drawn], "o-", label="answered with 200")
    refused = [run["refused"].get("requests_per_second", 0) for run in drawn]
    rates.plot(at, refused, "o-", label="answered with 429")
    rates.set(xlabel="requests/s, planned", ylabel="requests/s", title="What is answered")
    for percent in ("50", "99"):
        times.plot(at, [run["milliseconds"][percent] for run in drawn], "o-", label=f"p{percent}")
    times.set(xlabel="requests/s, planned", ylabel="milliseconds, of the 200s", title="How long it takes", yscale="log")
    for axes in (rates, times):
        axes.grid(alpha=0.3)
        axes.legend()
    return drawn


def rows(count: int) -> list[Axes]:
    _, axes = plt.subplots(count, 1, figsize=(9, 1.8 * count), sharex=True)
    for each in axes:
        each.grid(alpha=0.3)
    return list(axes)


def autoscaler(those: Results) -> list[Result]:
    run = those["autoscaler"]
    at = column(run, "second")
    rates, pods, times = rows(3)
    rates.step(at, planned(run), color="grey", lw=0.8, where="post", label="planned")
    rates.step(at, column(run, "200") / step(run), where="post", label="answered with 200")
    rates.step(at, failures(run) / step(run), where="post", label="with 429, or no answer")
    rates.set(ylabel="requests/s", title="The autoscaler, from one pod to four and back")
    pods.step(at, column(run, "wanted"), color="grey", lw=0.8, where="post", label="wanted")
    pods.step(at, column(run, "ready"), where="post", label="ready")
    pods.set(ylabel="pods", ylim=(0, 4.5), yticks=range(5))
    times.step(at, column(run, "p99"), where="post", label="p99 of the 200s")
    times.set(ylabel="milliseconds", yscale="log", xlabel="seconds")
    for axes in (rates, pods, times):
        axes.legend(loc="upper right")
    return [run]


def soak(those: Results) -> list[Result]:
    run = those["soak"]
    at = column(run, "second") / 60
    memory, times, found, failed = rows(4)
    used = column(run, "process_resident_memory_bytes") / 1e6
    memory.plot(at, used)
    memory.set(title="Half the capacity, and Redis restarted every ten minutes")
    memory.set(ylabel="memory, MB", ylim=(0, 1.2 * np.nanmax(used)))
    times.plot(at, column(run, "p99"))
    times.set(ylabel="p99, ms", ylim=0)
    found.plot(at, hits(run))
    found.set(ylabel="hits, %", ylim=(0, 60))
    failed.plot(at, failures(run))
    failed.set(ylabel="failed requests", ylim=(0, max(1, 1.1 * failures(run).max())), xlabel="minutes")
    return [run]


PICTURES: list[Picture] = [above_capacity, autoscaler, soak]
