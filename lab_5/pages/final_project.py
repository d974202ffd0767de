"""What findings.md.in of the final project may name."""

from bench.final_project import CACHE_RATES, TIMES
from report import (
    KINDS,
    LATENCIES,
    Results,
    counted,
    hits_row,
    latencies,
    quantile,
    rate,
    rounds,
    seconds,
    setup,
    share,
    table,
)


def cache_rates(those: Results) -> str:
    head = ["cache rate", "success", "requests/s", *LATENCIES, "hits asked for", "hits counted"]
    return table(head, [[of, *hits_row(rounds(those, f"closed-{of}"))] for of in CACHE_RATES])


def past(those: Results) -> str:
    def row(times: str) -> list[object]:
        run = those[f"times-{times}"]
        refused = run["refused"]
        fast = quantile([refused], "99") if refused else ""
        counts = [counted([run], kind) for kind in ("200", "429", "5xx", "none")]
        asked = [times, run["settings"]["RATE"]]
        return [*asked, rate([run]), *latencies([run]), fast, *counts, run["dropped"]]

    answers = ["200", "429", "5xx", "no answer", "not sent"]
    return table(["times", "asked/s", "200/s", *LATENCIES, "p99 of 429, ms", *answers], [row(times) for times in TIMES])


def values(those: Results) -> dict[str, str]:
    none, most = (rounds(those, f"closed-{of}") for of in CACHE_RATES)
    last = those[f"times-{TIMES[-1]}"]
    return {
        "setup": setup(those.values()),
        "cache_rates": cache_rates(those),
        "times_faster": f"{seconds(none) / seconds(most):.1f}",
        "capacity": rate([those["capacity"]]),
        "past": past(those),
        "most_times": TIMES[-1],
        "most_rate": rate([last]),
        "left": share(round(last["requests_per_second"] / those["capacity"]["requests_per_second"], 2), 1),
        "most_p99": quantile([last], "99"),
        "refused_p99": quantile([last["refused"]], "99"),
        "refused": share(round(counted([last], "429") / counted([last], *KINDS), 2), 1),
    }
