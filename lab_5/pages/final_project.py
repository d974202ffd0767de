"""What findings.md.in of the final project may name."""

import numpy as np

from bench.cluster import PODS
from bench.final_project import CACHE_RATES, TIMES
from bench.soak import STEP
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
    sent,
    setup,
    share,
    success,
    table,
)

from .over_time import FULL, QUIET, column, duration, failures, slope, step, when


def cache_rates(those: Results) -> str:
    head = ["cache rate", "success", "requests/s", *LATENCIES, "hits asked for", "hits counted"]
    return table(head, [[of, *hits_row(rounds(those, f"closed-{of}"))] for of in CACHE_RATES])


def past(those: Results) -> str:
    def row(times: str) -> list[object]:
        run = those[f"times-{times}"]
        refused = run["refused"]
        fast = quantile([refused], "99") if refused else ""
        counts = [counted([run], kind) for kind in ("200", "429", "5xx", "none")]
        asked = [times, run["settings"]["RATE"], sent([run])]
        return [*asked, rate([run]), *latencies([run]), fast, *counts, run["dropped"]]

    answers = ["200", "429", "5xx", "no answer", "not sent"]
    return table(
        ["times", "planned/s", "sent/s", "200/s", *LATENCIES, "p99 of 429, ms", *answers],
        [row(times) for times in TIMES],
    )


def pods(those: Results) -> str:
    one = seconds(rounds(those, "pods-1"))

    def row(count: int) -> list[object]:
        runs = rounds(those, f"pods-{count}")
        return [count, rate(runs), f"{one / seconds(runs):.1f}", success(runs), *latencies(runs)]

    return table(["pods", "requests/s", "to one pod", "success", *LATENCIES], [row(count) for count in PODS])


def autoscaler(those: Results) -> dict[str, str]:
    """ValueError if it never had all pods, or never one again."""
    run = those["autoscaler"]
    begins, ends = QUIET * duration(run), FULL * duration(run)
    out, back = when(run, "ready", max(PODS), begins), when(run, "ready", min(PODS), ends)
    at, p99 = column(run, "second"), column(run, "p99")
    until_out = (at >= begins) & (at < begins + out)
    return {
        "few": f"{np.ceil(float(run['settings']['RATE']) / 10):.0f}",
        "many": run["settings"]["RATE"],
        "kubernetes": run["versions"]["kubernetes"],
        "most_pods": f"{max(PODS)}",
        "out": f"{out:.0f}",
        "back": f"{back:.0f}",
        "worst_p99": f"{np.nanmax(p99[until_out]):.0f}",
        "settled_p99": f"{np.nanmedian(p99[(at >= begins + out) & (at < ends)]):.0f}",
        "quiet_p99": f"{np.nanmedian(p99[at < begins]):.0f}",
        "while_out": f"{failures(run)[until_out].sum():.0f}",
        "scaler_failed": f"{counted([run], *KINDS) - counted([run], '200')}",
        "scaler_dropped": f"{run['dropped']}",
    }


def soak(those: Results) -> dict[str, str]:
    """ValueError for another time than the text says."""
    run = those["soak"]
    if (duration(run), step(run)) != (3600, STEP):
        raise ValueError(f"soak: {duration(run):.0f} s in steps of {step(run):.0f}, and not an hour in steps of {STEP}")
    memory = column(run, "process_resident_memory_bytes") / 1e6
    return {
        "soak_capacity": rate([those["soak-capacity"]]),
        "soak_rate": run["settings"]["RATE"],
        "soak_requests": f"{counted([run], *KINDS)}",
        "soak_failed": f"{counted([run], *KINDS) - counted([run], '200')}",
        "soak_dropped": f"{run['dropped']}",
        "soak_p99": f"{np.nanmedian(column(run, 'p99')):.0f}",
        "soak_worst": f"{np.nanmax(column(run, 'p99')):.0f}",
        "soak_worst_minute": f"{column(run, 'second')[np.nanargmax(column(run, 'p99'))] // 60 + 1:.0f}",
        "soak_first": f"{memory[np.isfinite(memory)][0]:.1f}",
        "soak_most": f"{np.nanmax(memory):.1f}",
        "soak_slope": f"{slope(run):.2f}",
    }


def values(those: Results) -> dict[str, str]:
    none, most = (rounds(those, f"closed-{of}") for of in CACHE_RATES)
    last = those[f"times-{TIMES[-1]}"]
    return {
        "setup": setup(those.values()),
        "pods": pods(those),
        **autoscaler(those),
        **soak(those),
        "cache_rates": cache_rates(those),
        "times_faster": f"{seconds(none) / seconds(most):.1f}",
        "capacity": rate([those["capacity"]]),
        "past": past(those),
        "most_times": TIMES[-1],
        "waiting": last["settings"]["WAITING"],
        "most_sent": sent([last]),
        "most_rate": rate([last]),
        "left": share(round(last["requests_per_second"] / those["capacity"]["requests_per_second"], 2), 1),
        "most_p99": quantile([last], "99"),
        "refused_p99": quantile([last["refused"]], "99"),
        "refused": share(round(counted([last], "429") / counted([last], *KINDS), 2), 1),
    }
