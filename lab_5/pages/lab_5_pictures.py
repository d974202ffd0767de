"""The pictures of lab_5's Findings.md."""

from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from bench.lab_4 import CACHE_RATES, COST_RATES, COSTS
from report import Picture, Result, Results, call, rounds

from .lab_5 import gains


def cache_rates(those: Results) -> list[Result]:
    _, both = plt.subplots(1, 2, figsize=(9, 3.4))
    drawn = []
    for axes, shape in zip(both, ("closed", "open"), strict=True):
        for of in CACHE_RATES:
            for each in rounds(those, f"{shape}-{of}"):
                drawn.append(each)
                percents, milliseconds = zip(*each["milliseconds"].items(), strict=True)
                colour = f"C{CACHE_RATES.index(of)}"
                label = f"cache rate {of}" if each["name"].endswith("-1") else None
                axes.plot(milliseconds, [float(percent) for percent in percents], colour, label=label, lw=1)
        axes.set(xscale="log", xlabel="milliseconds", title=f"{shape}, three runs each")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    both[0].set_ylabel("% of the requests took at most")
    both[1].legend(loc="lower right")
    return drawn


def past_capacity(those: Results) -> list[Result]:
    plt.figure(figsize=(6, 3.6))
    drawn = []
    shapes = {"closed": "closed: users ask again when answered", "open": "open: requests come as they come"}
    for number, (shape, label) in enumerate(shapes.items()):
        for each in rounds(those, f"past-{shape}"):
            percents, milliseconds = zip(*each["milliseconds"].items(), strict=True)
            first = label if each["name"].endswith("-1") else None
            plt.plot([float(percent) for percent in percents], milliseconds, f"C{number}", label=first, lw=1)
            drawn.append(each)
    plt.yscale("log")
    plt.xlabel("% of the requests took at most")
    plt.ylabel("milliseconds")
    plt.title("The same server, asked for more than it can do")
    plt.grid(alpha=0.3, which="both")
    plt.legend()
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
