"""The pictures of lab_5's Findings.md."""

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from bench.lab_4 import CACHE_RATES, COST_RATES, COSTS
from report import Picture, Result, Results, call, rounds

from .lab_5 import gains


def latencies(axes: Axes, runs: list[Result], colour: str, label: str) -> list[Result]:
    """A curve for each run: how many took at most so long."""
    for number, each in enumerate(runs):
        percents, milliseconds = zip(*each["milliseconds"].items(), strict=True)
        axes.plot(milliseconds, [float(of) for of in percents], colour, label="" if number else label, lw=1)
    axes.set(xscale="log", xlabel="milliseconds")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, alpha=0.3)
    return runs


def cache_rates(those: Results) -> list[Result]:
    _, both = plt.subplots(1, 2, figsize=(9, 3.4))
    drawn = []
    for axes, shape in zip(both, ("closed", "open"), strict=True):
        for number, of in enumerate(CACHE_RATES):
            drawn += latencies(axes, rounds(those, f"{shape}-{of}"), f"C{number}", f"cache rate {of}")
        axes.set_title(f"{shape}, three runs each")
    both[0].set_ylabel("% of the requests took at most")
    both[1].legend(loc="lower right")
    return drawn


def past_capacity(those: Results) -> list[Result]:
    _, axes = plt.subplots(figsize=(6, 3.6))
    drawn = latencies(axes, rounds(those, "past-closed"), "C0", "closed: users ask again when answered")
    drawn = drawn + latencies(axes, rounds(those, "past-open"), "C1", "open: requests come as they come")
    axes.set(ylabel="% of the requests took at most", title="The same server, asked for more than it can do")
    axes.legend(loc="center", bbox_to_anchor=(0.47, 0.5), fontsize=7)
    return drawn


def what_a_cache_is_worth(those: Results) -> list[Result]:
    plt.figure(figsize=(6, 3.6))
    drawn = []
    for number, of in enumerate(COSTS):
        none = rounds(those, f"cost-{of}-none")
        drawn += none + [each for rate in COST_RATES for each in rounds(those, f"cost-{of}-{rate}")]
        shares = [100 * float(rate) for rate in COST_RATES]
        for turn, gain in enumerate(gains(those, of)):
            label = f"a call takes {call(none):.2g} ms" if not turn else None
            plt.plot(shares, gain, f"C{number}o-", label=label, lw=1, ms=3)
    plt.axhline(1, color="grey", lw=0.8)
    plt.yscale("log")
    plt.xlabel("% of the block groups that are hits")
    plt.ylabel("requests/s, to those without a cache")
    plt.title("What a cache is worth")
    plt.grid(alpha=0.3, which="both")
    plt.legend()
    return drawn


PICTURES: list[Picture] = [cache_rates, past_capacity, what_a_cache_is_worth]
