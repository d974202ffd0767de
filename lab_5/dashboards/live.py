"""Sends each query of the dashboard, the rules and the alerts to a Prometheus and prints those without data:
`.venv/bin/python -m dashboards.live http://127.0.0.1:9091`. It needs requests in the last minute.
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from services import get

from .panels import PANELS

RULES = Path(__file__).parents[1] / "rules"
WINDOW = "1m"


def rules(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def fetch(url: str, path: str, **parameters: str | float) -> list[dict[str, Any]]:
    """The time series in a response of the HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/"""
    try:
        result: list[dict[str, Any]] = json.loads(get(f"{url}/api/v1/{path}?{urlencode(parameters)}"))["data"]["result"]
    except OSError as error:
        sys.exit(f"Prometheus at {url} does not respond: {error}")
    return result


def filled(expr: str, window: str = WINDOW) -> str:
    """The query without Grafana's variables."""
    return expr.replace("$namespace", ".*").replace("$__rate_interval", window)


def labels_of_data(url: str, expr: str) -> list[dict[str, str]]:
    """The labels of each time series that has a number now. A ratio is NaN (not a number) without requests."""
    found = fetch(url, "query", query=filled(expr))
    return [series["metric"] for series in found if math.isfinite(float(series["value"][1]))]


def selectors(expr: str) -> set[str]:
    """Each `metric{labels}` of the query, without `status`: a service without errors has none with status 500."""
    return {re.sub(r',? ?status[=!~]+"[^"]*"', "", found) for found in re.findall(r"\b[a-z_][\w:]*\{[^}]*\}", expr)}


def queries() -> list[tuple[str, str]]:
    """The name and the PromQL of each query."""
    shown = [(f"{panel.title}, {legend}", expr) for panel in PANELS for legend, expr in panel.queries.items()]
    recorded = [(f"{rule['record']}, {rule['labels']['slo']}", rule["expr"]) for rule in rules("recording.yaml")]
    return shown + recorded + [(rule["alert"], rule["expr"]) for rule in rules("alerts.yaml")]


def missing(url: str, name: str, expr: str) -> list[str]:
    """The parts of the query that have no data. The query of an alert has none while everything works."""
    is_alert = name in {rule["alert"] for rule in rules("alerts.yaml")}
    parts = sorted(selectors(expr)) + ([] if is_alert else [expr])
    without_data = [part for part in parts if not labels_of_data(url, part)]
    legend = re.findall(r"{{(\w+)}}", name)
    return without_data or [label for label in legend if not all(label in has for has in labels_of_data(url, expr))]


def main(url: str) -> int:
    found = {name: missing(url, name, expr) for name, expr in queries()}
    for name, parts in found.items():
        for part in parts:
            print(f"{name}: no data for {part}")
    print(f"{len(found)} queries, {sum(map(bool, found.values()))} without data")
    return int(any(found.values()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dashboards.live URL_OF_PROMETHEUS")
    sys.exit(main(sys.argv[1]))
