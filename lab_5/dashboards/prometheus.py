"""Questions to a Prometheus, by its HTTP API."""

import json
import re
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from .service import NAMESPACE, RATE

Labels = dict[str, str]
RECORDED = r"\b[a-z]\w*:\w+:\w+"  # by a rule
SELECTED = r"\b[a-z]\w*\{[^{}]*\}"


def filled(expr: str, window: str) -> str:
    """The query as Grafana asks it: all namespaces, and rates over the window."""
    return expr.replace(NAMESPACE, ".*").replace(RATE, window)


def selectors(expr: str) -> list[str]:
    """What it asks for: each `metric{...}`, which here all metrics have, and each series that a rule records."""
    return sorted(set(re.findall(f"{RECORDED}|{SELECTED}", expr)))


def metrics(expr: str) -> set[str]:
    return {selector.split("{")[0] for selector in selectors(expr)}


def _asked(url: str, what: str, **parameters: str | float) -> list[dict[str, Any]]:
    with urlopen(f"{url}/api/v1/{what}?{urlencode(parameters)}", timeout=30) as answer:  # noqa: S310 - the caller's URL
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


def query(url: str, expr: str, at: float) -> list[tuple[Labels, float]]:
    """Of each series its labels and its value at a time (seconds since 1970)."""
    return [(each["metric"], float(each["value"][1])) for each in _asked(url, "query", query=expr, time=at)]


def query_range(
    url: str, expr: str, start: float, end: float, step: float
) -> list[tuple[Labels, list[float], list[float]]]:
    """Of each series its labels, the times and the values."""
    found = _asked(url, "query_range", query=expr, start=start, end=end, step=step)
    return [
        (each["metric"], [float(time) for time, _ in each["values"]], [float(value) for _, value in each["values"]])
        for each in found
    ]
