"""Every expression of the dashboard and rules, asked of a Prometheus that watched the real service under load.

k6 sends what is valid and some that is not, traffic.py the rest: more at once, and what a broken pod gets.
"""

import math
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashboards import draw
from dashboards.live import Live
from dashboards.panels import panels
from dashboards.prometheus import filled, query, selectors
from dashboards.service import LAB_4
from dashboards.traffic import KNOWN, Sender, counted_by_k6, housing, k6
from services import running, wait_for

from .test_rules import ALERTS, RECORDED

WINDOW = "1m"  # for rates: all of the load

SHOWN = [
    pytest.param(legend, expr, id=f"{panel.title}, {legend}")
    for panel in panels(LAB_4)
    for legend, expr in panel.queries.items()
]


@dataclass(frozen=True)
class Seen:
    """What Prometheus has after the load, and what those who sent it counted."""

    prometheus: str
    began: float  # seconds since 1970, as the other times here
    ended: float
    sent: dict[str, Counter[str]]  # by service; the answers by status, and the items by `hits` and `misses`

    def values(self, expr: str) -> list[float]:
        return [value for _, value in query(self.prometheus, filled(expr, WINDOW), self.ended)]

    def silent(self, expr: str) -> list[str]:
        """Those of its selectors that select nothing."""
        asked = [selector for selector in selectors(expr) if not selector.startswith(tuple(RECORDED))]
        asked += [f'{name}{{job="{LAB_4.job}"}}' for name in RECORDED if name in expr]
        assert asked
        return sorted(selector for selector in asked if not self.values(selector))

    def changes(self, expr: str, label: str = "") -> Counter[str]:
        """By how much each counter is higher after the load than before; one that was not there yet was 0."""
        before, after = (query(self.prometheus, expr, at) for at in (self.began, self.ended))
        changes = Counter({labels.get(label, ""): value for labels, value in after})
        changes.subtract({labels.get(label, ""): value for labels, value in before})
        return Counter({name: round(change) for name, change in changes.items() if change})


def seen_after(url: str, moment: float) -> float:
    """A time at which Prometheus has asked both services and, a second on at most, evaluated its rules."""

    def fresh() -> bool:
        times = [at for _, at in query(url, "timestamp(up == 1)", time.time())]
        return len(times) == 2 and min(times) > moment + 2

    wait_for(fresh, "a scrape of both services")
    return time.time()


@pytest.fixture(scope="module")
def seen(services: Live, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    lab_4, broken = Sender(services.lab_4), Sender(services.broken)
    began = seen_after(services.prometheus, time.time())
    folder = tmp_path_factory.mktemp("k6")
    settings = {"SHAPE": "open", "RATE": "10", "DURATION": "6s", "CACHE_RATE": "0.5", "INVALID_RATE": "0.2"}
    load = k6(services.lab_4, "--out", f"csv={folder / 'samples.csv'}", KNOWN=KNOWN, **settings)
    with running(load, folder / "k6.log", folder) as run:
        while run.poll() is None:
            housing(lab_4, broken)
    assert run.returncode == 99  # the threshold on checks: some were refused, as they had to be
    ended = seen_after(services.prometheus, time.time())
    sent = {"lab_4": lab_4.counted + counted_by_k6(folder / "samples.csv"), "broken": broken.counted}
    return Seen(services.prometheus, began, ended, sent)


@pytest.mark.parametrize(("legend", "expr"), SHOWN)
def test_each_query_of_a_panel_gives_data(seen: Seen, legend: str, expr: str) -> None:
    assert seen.silent(expr) == []
    assert any(math.isfinite(value) for value in seen.values(expr))
    for label in re.findall(r"{{(\w+)}}", legend):
        assert all(label in labels for labels, _ in query(seen.prometheus, filled(expr, WINDOW), seen.ended))


@pytest.mark.parametrize("name", RECORDED)
def test_each_recording_rule_gives_data(seen: Seen, name: str) -> None:
    assert seen.silent(RECORDED[name]["expr"]) == []
    for expr in (name, RECORDED[name]["expr"]):
        found = query(seen.prometheus, expr, seen.ended)
        assert {labels["job"] for labels, value in found if math.isfinite(value)} == {LAB_4.job}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_selector_of_an_alert_gives_data(seen: Seen, alert: str) -> None:
    assert seen.silent(ALERTS[alert]["expr"]) == []


def test_a_metric_that_no_service_has_is_told(seen: Seen) -> None:
    renamed = 'sum(rate(http_requests_renamed_total{job="housing"}[5m])) or vector(0)'
    assert seen.silent(renamed) == ['http_requests_renamed_total{job="housing"}']


def test_the_alerts_see_what_happened(seen: Seen) -> None:
    found = {labels["alertname"] for labels, _ in query(seen.prometheus, "ALERTS", seen.ended)}
    assert found >= {"AvailabilityBurnsFast", "CacheFails"}
    assert not found & {"PodsMissing", "PodsGone"}


@pytest.mark.parametrize("name", ["lab_4", "broken"])
def test_the_counters_changed_by_what_was_sent(seen: Seen, services: Live, name: str) -> None:
    of = f'instance="{getattr(services, name).removeprefix("http://")}"'
    requests = seen.changes(f'sum by (status) (http_requests_total{{{of}, handler="/predict"}})', "status")
    items = {kind: seen.changes(f"cache_{kind}_total{{{of}}}")[""] for kind in ("hits", "misses")}
    assert requests + Counter(items) == seen.sent[name]
    expected = {"lab_4": {"200", "422"}, "broken": {"500"}}
    assert set(requests) == expected[name]
    timed = seen.changes(f'sum(http_request_duration_seconds_count{{{of}, handler="/predict"}})')
    assert timed[""] == sum(requests.values())


def test_the_panels_can_be_drawn(seen: Seen, tmp_path: Path) -> None:
    draw.main(draw.Time(seen.prometheus, seen.began, seen.ended, WINDOW), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dashboard-lab_4.png"]
