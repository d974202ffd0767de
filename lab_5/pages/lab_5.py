"""What findings.md.in of lab_5 may name."""

from bench.lab_4 import CACHE_RATES, COST_RATES, COSTS, INVALID_RATES
from report import (
    LATENCIES,
    Result,
    Results,
    busy,
    call,
    counted,
    hits_row,
    latencies,
    per_request,
    quantile,
    rate,
    rounds,
    seconds,
    sent,
    setup,
    spread,
    success,
    table,
)


def cache_rates(those: Results) -> str:
    head = ["shape", "cache rate", "success", "requests/s", *LATENCIES, "hits asked for", "hits counted"]
    each = [(shape, of) for shape in ("closed", "open") for of in CACHE_RATES]
    return table(head, [[shape, of, *hits_row(rounds(those, f"{shape}-{of}"))] for shape, of in each])


def invalid(those: Results) -> str:
    def row(of: str) -> list[object]:
        runs = rounds(those, f"invalid-{of}")
        return [of, counted(runs, "200"), counted(runs, "422"), success(runs), *latencies(runs)]

    return table(["invalid rows", "200", "422", "success", *LATENCIES], [row(of) for of in INVALID_RATES])


def gains(those: Results, of: str) -> list[list[float]]:
    """For each round, how many times as many requests are answered with a cache as without, at each of COST_RATES."""
    none, *cached = (rounds(those, f"cost-{of}-{kind}") for kind in ("none", *COST_RATES))
    rates = [[run["requests_per_second"] for run in runs] for runs in (none, *cached)]
    return [[at / without for at in with_cache] for without, *with_cache in zip(*rates, strict=True)]


def pays_from(gain: list[float]) -> float:
    """The hits, in %, from which more is answered with a cache, on the line between the two rates around it."""
    shares = [100 * float(of) for of in COST_RATES]
    if gain[0] >= 1:
        return 0
    for at in range(1, len(gain)):
        if gain[at] >= 1:
            before, after = gain[at - 1], gain[at]
            return shares[at - 1] + (1 - before) / (after - before) * (shares[at] - shares[at - 1])
    return 100


def cost(those: Results) -> str:
    def row(of: str) -> list[str]:
        none, *cached = (rounds(those, f"cost-{of}-{kind}") for kind in ("none", *COST_RATES))
        pays = spread([pays_from(gain) for gain in gains(those, of)])
        return [f"{call(none):.2g}", rate(none), *map(rate, cached), pays]

    rates = [f"cache rate {of}" for of in COST_RATES]
    head = ["a call of the model, ms", "no cache, requests/s", *rates, "pays from, %"]
    return table(head, [row(of) for of in COSTS])


def past(those: Results) -> str:
    def row(name: str, planned: str) -> list[object]:
        runs = rounds(those, f"past-{name}")
        left = [counted(runs, "none"), sum(each["dropped"] for each in runs)]
        return [name, planned, sent(runs), rate(runs), *latencies(runs), *left]

    planned = spread([float(each["settings"]["RATE"]) for each in rounds(those, "past-open")])
    head = ["shape", "planned/s", "sent/s", "answered/s", *LATENCIES, "no answer", "not sent"]
    return table(head, [row("closed", "as answered"), row("open", planned)])


def limits(those: Results) -> str:
    def row(kind: str, name: str) -> list[str]:
        runs = rounds(those, f"cost-0-{kind}")
        model = f"{call(runs):.2f}" if kind != "1" else ""  # it is not called, but for what is asked before the load
        return [name, rate(runs), busy(runs), per_request(runs), model]

    head = ["", "requests/s", "% of a core", "CPU a request, ms", "a call of the model, ms"]
    return table(head, [row("none", "no cache"), row("0", "all misses"), row("1", "all hits")])


def batches(those: Results) -> str:
    def row(name: str) -> list[str]:
        runs = rounds(those, name)
        return [
            name.replace("-", " "),
            rate(runs),
            *latencies(runs),
            f"{size(runs):.1f}",
            f"{call(runs):.2f}",
            busy(runs),
        ]

    head = ["the model is called", "requests/s", *LATENCIES, "block groups a call", "a call, ms", "% of a core"]
    return table(head, [row(name) for name in ("one-by-one", "batched")])


def size(runs: list[Result]) -> float:
    """Block groups in a call of the model."""
    rows, calls = (sum(each["service"][f"model_inference_batch_size_{of}"] for each in runs) for of in ("sum", "count"))
    return float(rows) / float(calls)


def values(those: Results) -> dict[str, str]:
    """What findings.md.in may name."""
    one, many, none = (rounds(those, name) for name in ("one-by-one", "batched", "cost-0-none"))
    closed, open_ = (rounds(those, f"past-{shape}") for shape in ("closed", "open"))
    for run in open_:
        if run["requests_per_second"] > float(run["settings"]["RATE"]):
            raise ValueError(f"{run['name']} was not past the capacity")
    return {
        "setup": setup(those.values()),
        "cache_rates": cache_rates(those),
        "times_at_all_hits": f"{seconds(rounds(those, 'closed-0')) / seconds(rounds(those, 'closed-1')):.1f}",
        "invalid": invalid(those),
        "invalid_success": success(rounds(those, "invalid-0.03")),
        "cost": cost(those),
        "call": f"{call(none):.2g}",
        "pays": spread([pays_from(gain) for gain in gains(those, "0")]),
        "past": past(those),
        "past_waiting": open_[0]["settings"]["WAITING"],
        "past_seconds": closed[0]["settings"]["DURATION"].removesuffix("s"),
        "closed_p99": quantile(closed, "99"),
        "open_p99": quantile(open_, "99"),
        "limits": limits(those),
        "batches": batches(those),
        "batch": f"{size(many):.0f}",
        "times_a_call": f"{call(many) / call(one):.1f}",
        "times_batched": f"{seconds(one) / seconds(many):.1f}",
    }
