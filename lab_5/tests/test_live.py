"""Sends every query of the dashboard, rules and alerts to a Prometheus that scraped lab_4's service under k6's load."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.measure import measure
from dashboards import draw
from dashboards.live import RULES, fetch, main, missing, queries
from services import free_port, responds, running, wait_for

SETTINGS = {"RATE": "30", "DURATION": "4s", "CACHE_RATE": "0.5", "INVALID_RATE": "0.2"}


@dataclass(frozen=True)
class Live:
    prometheus: str  # its URL
    requests: Counter[str]  # by status or name: how much the counters of the service grew during the load
    k6: dict[str, Any]  # what bench/measure.py returns


def counters_of_service(prometheus: str) -> Counter[str]:
    """The newest values, which Prometheus scraped now or later. The rules need one more second."""
    newest = f"min(timestamp(up == 1)) > {time.time() + 1}"
    wait_for(lambda: bool(fetch(prometheus, "query", query=newest)), "a scrape")
    query = 'http_requests_total{handler="/predict"} or {__name__=~"cache_(hits|misses)_total"}'
    found = [(item["metric"], item["value"][1]) for item in fetch(prometheus, "query", query=query)]
    return Counter({labels.get("status", labels["__name__"]): int(value) for labels, value in found})


@pytest.fixture(scope="module")
def live(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    if not shutil.which("prometheus"):
        pytest.skip("Prometheus is not installed: see lab_4/README.md")
    folder = tmp_path_factory.mktemp("live")
    prometheus = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(RULES / "prometheus.sh"), url.removeprefix("http://")]
    with running(command, folder / "log", folder, PROMETHEUS_PORT=str(port), INTERVAL="1s"):
        wait_for(lambda: responds(f"{prometheus}/-/ready"), f"Prometheus, log in {folder}")
        before = counters_of_service(prometheus)
        k6 = measure(url, SETTINGS, quiet=True)
        yield Live(prometheus, counters_of_service(prometheus) - before, k6)


def test_all_queries_return_data_from_the_service_under_load(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    main(live.prometheus)
    assert capsys.readouterr().out == f"{len(queries())} queries, 0 without data\n"


def test_metric_that_the_service_does_not_have_is_reported_although_the_query_returns_a_number(live: Live) -> None:
    renamed = 'http_requests_renamed_total{job="housing"}'
    assert missing(live.prometheus, "name", f"sum(rate({renamed}[1m])) or vector(0)") == [renamed]


def test_label_that_the_service_does_not_have_is_reported(live: Live) -> None:
    assert missing(live.prometheus, "Requests, {{code}}", 'sum by (code) (up{job="housing"})') == ["code"]


def test_counters_of_the_service_equal_those_of_k6(live: Live) -> None:
    k6, service = live.k6["responses"], live.requests
    assert {"200": service["200"] - 1, "422": service["422"]} == {"200": k6["200"], "422": k6["422"]}  # 1: setup()
    assert k6["200"] > k6["422"] > 0 == sum(k6.values()) - k6["200"] - k6["422"]
    setup = [service[f"{name}_total"] - live.k6[name] for name in ("cache_hits", "cache_misses")]
    assert (sum(setup), min(setup) >= 0) == (100, True)  # some of its block groups are known from another test


def test_panels_can_be_drawn_without_grafana(live: Live, tmp_path: Path) -> None:
    draw.main(live.prometheus, 8, str(tmp_path / "dashboard.png"))
    assert (tmp_path / "dashboard.png").stat().st_size > 50_000
