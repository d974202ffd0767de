"""The pictures of the final project's Findings.md."""

from matplotlib import pyplot as plt

from bench.final_project import TIMES
from report import Picture, Result, Results


def above_capacity(those: Results) -> list[Result]:
    drawn = [those[f"times-{times}"] for times in TIMES]
    asked = [float(run["settings"]["RATE"]) for run in drawn]
    _, (rates, times) = plt.subplots(1, 2, figsize=(9, 3.4))
    rates.plot(asked, asked, color="grey", lw=0.8, label="asked")
    rates.plot(asked, [run["requests_per_second"] for run in drawn], "o-", label="answered with 200")
    refused = [run["refused"].get("requests_per_second", 0) for run in drawn]
    rates.plot(asked, refused, "o-", label="answered with 429")
    rates.set(xlabel="requests/s, asked", ylabel="requests/s", title="What is answered")
    for percent in ("50", "99"):
        times.plot(asked, [run["milliseconds"][percent] for run in drawn], "o-", label=f"p{percent}")
    times.set(xlabel="requests/s, asked", ylabel="milliseconds, of the 200s", title="How long it takes", yscale="log")
    for axes in (rates, times):
        axes.grid(alpha=0.3)
        axes.legend()
    return drawn


PICTURES: list[Picture] = [above_capacity]
