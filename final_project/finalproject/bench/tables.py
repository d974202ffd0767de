"""The tables of Findings.md, from the files in ../results/."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from .results import Result, ratios, spread

STATUSES = ("200", "429", "503", "other", "none")
VARIANTS = {"plain": "without Redis", "redis": "with Redis", "unlimited": "without admission control"}


def markdown(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return f"{title}:\n\n" + "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value: float | None, form: str = ",.0f") -> str:
    """Empty for None: no request had that status."""
    return "" if value is None else f"{value:{form}}"


def origin(result: Result) -> str:
    """Where, when and of what a result was measured."""
    return f"{result['machine']}, version {result['version']}, HTTP parser {result['http']}"


def middle(values: list[float]) -> float | None:
    """The median; None without values."""
    return median(values) if values else None


def table(result: Result) -> str:
    values = result["values"]
    rows: list[Sequence[object]] = []

    def add(name: str, key: str, form: str = ",.0f", target: str = "") -> None:
        if key in values:
            rows.append((name, spread(values[key], form), target))

    def add_ratio(name: str, keys: tuple[str, str], target: str = "", factor: bool = False) -> None:
        if set(keys) <= set(values):
            of_rounds = ratios(values[keys[0]], values[keys[1]])
            percent = f"{spread([100 * ratio for ratio in of_rounds])} %"
            rows.append((name, spread(of_rounds, ".2f") if factor else percent, target))

    add("ONNX Runtime without a server, texts/s", "limit")
    add("all misses, no Redis, requests/s", "misses")
    add_ratio("ratio to ONNX Runtime", ("misses", "limit"), "90 %")
    add("p99, ms", "misses_p99_ms", target="80")
    add("all misses, with Redis, requests/s", "misses_redis")
    add_ratio("ratio to ONNX Runtime", ("misses_redis", "limit"))
    add("p99, ms", "misses_redis_p99_ms")
    add("all hits, requests/s", "hits")
    add("an empty FastAPI `GET` route, uvicorn's zttp, requests/s", "empty_zttp")
    add_ratio("ratio to the empty route", ("hits", "empty_zttp"), "85 %")
    add("an empty FastAPI `GET` route, server.py, requests/s", "empty")
    add_ratio("ratio to the empty route", ("hits", "empty"))
    add("1 client and 1 text, ms", "client_ms", ".2f")
    add("the same call without HTTP, ms", "call_ms", ".2f")
    add_ratio("ratio to the call", ("client_ms", "call_ms"), "1.3", factor=True)
    add("start to ready, s", "start_seconds", ".2f", "1.5")
    add("memory under load, MiB", "memory_mib", target="191 (200 MB)")
    title = (
        f"{origin(result)}; 32 connections, "
        f"{rounds(result['rounds'])} of {result['seconds']} s, median (lowest to highest)"
    )
    return markdown(title, ["", "measured", "target"], rows)


def overload(result: Result) -> str:
    def row(variant: str, runs: list[dict[str, Any]]) -> list[object]:
        def mid(key: str) -> float | None:
            return middle([run[key] for run in runs if run[key] is not None])

        share = median(run["goodput"] / run["capacity"] for run in runs)
        sent = median(run["sent_per_second"] / run["capacity"] for run in runs)
        counts = [f"{sum(run['counts'][status] for run in runs):,}" for status in STATUSES]
        return [
            VARIANTS[variant],
            f"{runs[0]['factor']:g}",
            number(mid("capacity")),
            f"{sent:.2f}",
            f"{100 * share:.0f} %",
            number(mid("p50_ms")),
            number(mid("p99_ms")),
            number(mid("p99_429_ms")),
            *counts,
            f"{sum(run['dropped'] for run in runs):,}",
        ]

    head = ["", "planned / capacity", "capacity/s", "sent / capacity", "goodput / capacity", "p50, ms", "p99, ms"]
    head += ["p99 of 429, ms", "200", "429", "503", "other", "no response", "dropped by k6"]
    rows = []
    for variant, runs in result["runs"].items():
        factors = sorted({run["factor"] for run in runs})
        rows += [row(variant, [run for run in runs if run["factor"] == factor]) for factor in factors]
    title = (
        f"{origin(result)}, k6 {result['k6']}; the service on one core, k6 on the other; "
        f"{result['seconds']} s per run, {rounds(result['rounds'])}"
    )
    return markdown(title, head, rows)


def rivals(result: Result) -> str:
    def cells(name: str, column: str) -> list[str]:
        loads = result["values"][name].get(column)
        if not loads:
            return ["", "", "", ""]
        ratio = [load["ratio"] for load in loads]
        return [
            spread([load["requests_per_second"] for load in loads]),
            number(median(load["p99_ms"] for load in loads)),
            f"{sum(load['failed'] for load in loads):,}",
            spread(ratio, ".2f") if name != "this service" else "1",
        ]

    columns = ["requests/s", "p99, ms", "errors", "ratio to this service"]
    threads = result["threads"]
    head = ["", *columns, *(f"{threads} threads: {column}" for column in columns)]
    rows = [[name, *cells(name, "documented"), *cells(name, "threads")] for name in result["values"]]
    title = (
        f"{origin(result)}; 32 connections, 1 text per request, {rounds(result['rounds'])} of {result['seconds']} s, "
        "median (lowest to highest)"
    )
    return markdown(title, head, rows)


def memory(result: Result) -> str:
    load, clients = result["load"], result["clients"]
    rows: list[Sequence[object]] = [
        ["at rest", "", load["rest_mib"], "", ""],
        ["under load, 32 connections", "200", load["load_mib"], "", ""],
    ]
    for description, cost in result["bodies"].items():
        statuses = ", ".join(f"{status}: {count}" for status, count in cost["statuses"].items())
        row = [f"{cost['bytes'] / 2**20:.1f} MiB: {description}", cost["status"], cost["peak_mib"]]
        rows.append([*row, f"{cost['peak_mib_16_clients']} ({statuses})", f"{cost['health_seconds']:.2f}"])
    head = [
        "",
        "status",
        "MiB, 1 client",
        f"peak MiB, {clients} clients (status: responses)",
        "slowest /health/live, s",
    ]
    return markdown(f"{origin(result)}; the memory limit of the Deployment is {result['limit_mib']} MiB", head, rows)


def techniques(result: Result) -> str:
    rows = []
    for values in result["values"].values():
        ratio = spread(ratios(values["with"], values["without"]), ".2f")
        load = "hits" if values["hits"] else "misses"
        rows.append((values["description"], load, spread(values["with"]), spread(values["without"]), ratio))
    title = f"{origin(result)}; {rounds(result['rounds'])} of {result['seconds']} s, median (lowest to highest)"
    return markdown(title, ["technique", "load", "requests/s with it", "without it", "ratio"], rows)


def budget(result: Result) -> str:
    rows = [
        (tokens, spread(values["requests_per_second"]), number(median(values["p99_ms"])))
        for tokens, values in result["values"].items()
    ]
    title = f"{origin(result)}; {rounds(result['rounds'])} of {result['seconds']} s, median (lowest to highest)"
    return markdown(title, ["tokens per batch", "requests/s", "p99, ms"], rows)


def rounds(count: int) -> str:
    return f"{count} round{'s' * (count > 1)}"
