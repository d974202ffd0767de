"""The tables of runs on the cluster and of the soak test."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from .results import Result, spread
from .tables import markdown, middle, number, origin


def pods(result: Result) -> str:
    one = median(run["goodput"] for run in result["pods"]["1"])

    def row(count: str, runs: list[dict[str, Any]]) -> list[object]:
        goodput = [run["goodput"] for run in runs]
        failed = sum(value for run in runs for status, value in run["counts"].items() if status != "200")
        p50, p99 = ([run[key] for run in runs] for key in ("p50_ms", "p99_ms"))
        return [count, spread(goodput), f"{median(goodput) / one:.1f}", spread(p50), spread(p99), failed]

    title = f"{origin(result)}, Kubernetes {result['kubernetes']}; median (lowest to highest)"
    head = ["pods", "requests/s", "ratio to 1 pod", "p50, ms", "p99, ms", "failed requests"]
    return markdown(title, head, [row(count, runs) for count, runs in result["pods"].items()])


def column(run: dict[str, Any], name: str) -> list[float | None]:
    values: list[float | None] = run["columns"][name]
    return values


def first_second(run: dict[str, Any], name: str, value: float, after: float) -> float | None:
    """Seconds from `after` to the end of the first step in which a column has the value."""
    seconds = [float(second or 0) for second in column(run, "second")]
    step = seconds[1] - seconds[0]
    for second, current in zip(seconds, column(run, name), strict=True):
        if current == value and second >= after:
            return second + step - after
    return None


def between(run: dict[str, Any], name: str, start: float, end: float) -> list[float]:
    pairs = zip(column(run, "second"), column(run, name), strict=True)
    return [value for second, value in pairs if second is not None and start <= second < end and value is not None]


def autoscaler(result: Result) -> str:
    run = result["autoscaler"]
    low, high, _ = run["rates"]
    start = run["seconds"][0]
    end = start + run["seconds"][1]
    scaled = first_second(run, "ready", 4, start)
    back = first_second(run, "ready", 1, end)
    until = start + scaled if scaled else end
    failed = sum(count for status, count in run["counts"].items() if status != "200")
    rows: list[Sequence[object]] = [
        ("arrival rate: low, high, low, requests/s", f"{low}, {high}, {low}"),
        ("from the high rate to 4 ready pods, s", number(scaled)),
        ("from the low rate to 1 pod, s", number(back)),
        ("p99 at the low rate, ms", number(middle(between(run, "p99", 0, start)))),
        ("highest p99 of 5 s while it scales out, ms", number(max(between(run, "p99", start, until), default=None))),
        ("p99 with 4 pods, ms", number(middle(between(run, "p99", until, end)))),
        ("requests", f"{sum(run['counts'].values()):,}"),
        ("failed, or rejected with 429", f"{failed:,}"),
        ("dropped by k6", f"{run['dropped']:,}"),
    ]
    return markdown(f"{origin(result)}, Kubernetes {result['kubernetes']}", ["", "measured"], rows)


def soak(result: Result) -> str:
    seconds, counts = result["seconds"], result["counts"]
    memory_mib = [value / 2**20 for value in between(result, "process_resident_memory_bytes", 0, seconds)]
    p99 = between(result, "p99", 0, seconds)
    rows: list[Sequence[object]] = [
        ("capacity, all misses, requests/s", number(result["capacity"])),
        ("arrival rate, requests/s", number(result["rate"])),
        ("requests", f"{sum(counts.values()):,}"),
        ("failed", f"{sum(counts.values()) - counts['200']:,}"),
        ("dropped by k6", f"{result['dropped']:,}"),
        ("p99 per 15 s: median (lowest to highest), ms", spread(p99)),
        ("memory at the start, MiB", number(memory_mib[0])),
        ("highest memory, MiB", number(max(memory_mib))),
        ("growth of memory in the last two thirds, MiB per hour", f"{growth(result):.1f}"),
    ]
    return markdown(f"{origin(result)}; {seconds / 60:.0f} minutes", ["", "measured"], rows)


def growth(result: Result) -> float:
    """The slope of a line through the memory of the last two thirds, in MiB per hour."""
    pairs = zip(column(result, "second"), column(result, "process_resident_memory_bytes"), strict=True)
    points = [
        (second / 3600, value / 2**20)
        for second, value in pairs
        if second is not None and value is not None and second >= result["seconds"] / 3
    ]
    hours, sizes = [hour for hour, _ in points], [size for _, size in points]
    mean_hour, mean_size = sum(hours) / len(points), sum(sizes) / len(points)
    covariance = sum((hour - mean_hour) * (size - mean_size) for hour, size in points)
    return covariance / sum((hour - mean_hour) ** 2 for hour in hours)
