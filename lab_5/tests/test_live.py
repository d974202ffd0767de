"""Every expression of the dashboards and rules, asked of a Prometheus that watched the real services under load.

k6 sends what is valid and some that is not, traffic.py the rest: more at once, too much, and what a broken pod gets.
"""

import contextlib
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
from dashboards.service import SERVICES
from dashboards.traffic import KNOWN, Sender, counted_by_k6, housing, k6, overload, sentiment
from services import running, wait_for

from .test_rules import ALERTS, RECORDED

WINDOW = "1m"  # for rates: all of the load
JOBS = [service.job for service in SERVICES]

SHOWN = [
    pytest.param(legend, expr, id=f"{service.lab}: {panel.title}, {legend}")
    for service in SERVICES
    for panel in panels(service)
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
        """Those of its selectors that select nothing, of one job or of the other."""
        asked = [selector for selector in selectors(expr) if not selector.startswith(tuple(RECORDED))]
        asked += [f'{name}{{job="{job}"}}' for name in RECORDED if name in expr for job in JOBS]
        assert asked
        each = {selector.replace(f'job=~"{"|".join(JOBS)}"', f'job="{job}"') for selector in asked for job in JOBS}
        return sorted(selector for selector in each if not self.values(selector))

    def changes(self, expr: str, label: str = "") -> Counter[str]:
        """By how much each counter is higher after the load than before; one that was not there yet was 0."""
        before, after = (query(self.prometheus, expr, at) for at in (self.began, self.ended))
        changes = Counter({labels.get(label, ""): value for labels, value in after})
        changes.subtract({labels.get(label, ""): value for labels, value in before})
        return Counter({name: round(change) for name, change in changes.items() if change})


def seen_after(url: str, moment: float) -> float:
    """A time at which Prometheus has asked all three services and, a second on at most, evaluated its rules."""

    def fresh() -> bool:
        times = [at for _, at in query(url, "timestamp(up == 1)", time.time())]
        return len(times) == 3 and min(times) > moment + 2

    wait_for(fresh, "a scrape of all services")
    return time.time()


@pytest.fixture(scope="module")
def seen(services: Live, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    lab_4, broken, final = (Sender(url) for url in (services.lab_4, services.broken, services.final_project))
    began = seen_after(services.prometheus, time.time())
    folder = tmp_path_factory.mktemp("k6")
    settings = {"SHAPE": "open", "RATE": "10", "DURATION": "6s", "CACHE_RATE": "0.5", "INVALID_RATE": "0.2"}
    with contextlib.ExitStack() as stack:
        runs = []
        for lab, url in (("lab_4", services.lab_4), ("final_project", services.final_project)):
            load = k6(lab, url, "--out", f"csv={folder / lab}", KNOWN=KNOWN, **settings)
            runs.append(stack.enter_context(running(load, folder / f"{lab}.log", folder)))
        while any(run.poll() is None for run in runs):
            housing(lab_4, broken)
            sentiment(final)
    assert [run.returncode for run in runs] == [99, 99]  # the threshold on checks: some were refused, as they had to be
    overload(final)
    ended = seen_after(services.prometheus, time.time())
    sent = {"lab_4": lab_4.counted, "broken": broken.counted, "final_project": final.counted}
    sent |= {lab: sent[lab] + counted_by_k6(folder / lab) for lab in ("lab_4", "final_project")}
    return Seen(services.prometheus, began, ended, sent)


@pytest.mark.parametrize(("legend", "expr"), SHOWN)
def test_each_query_of_a_panel_gives_data(seen: Seen, legend: str, expr: str) -> None:
    assert seen.silent(expr) == []
    assert any(math.isfinite(value) for value in seen.values(expr))
    for label in re.findall(r"{{(\w+)}}", legend):
        assert all(label in labels for labels, _ in query(seen.prometheus, filled(expr, WINDOW), seen.ended))


@pytest.mark.parametrize("name", RECORDED)
def test_each_recording_rule_gives_data_of_both_services(seen: Seen, name: str) -> None:
    assert seen.silent(RECORDED[name]["expr"]) == []
    for expr in (name, RECORDED[name]["expr"]):
        found = query(seen.prometheus, expr, seen.ended)
        assert {labels["job"] for labels, value in found if math.isfinite(value)} == set(JOBS)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_selector_of_an_alert_gives_data(seen: Seen, alert: str) -> None:
    assert seen.silent(ALERTS[alert]["expr"]) == []


def test_a_metric_that_no_service_has_is_told(seen: Seen) -> None:
    renamed = 'sum(rate(http_requests_renamed_total{job="housing"}[5m])) or vector(0)'
    assert seen.silent(renamed) == ['http_requests_renamed_total{job="housing"}']


def test_the_alerts_see_what_happened(seen: Seen) -> None:
    found = {labels["alertname"] for labels, _ in query(seen.prometheus, "ALERTS", seen.ended)}
    assert found >= {"AvailabilityBurnsFast", "QueueFull", "CacheFails"}
    assert not found & {"PodsMissing", "PodsGone"}


@pytest.mark.parametrize("name", ["lab_4", "broken", "final_project"])
def test_the_counters_changed_by_what_was_sent(seen: Seen, services: Live, name: str) -> None:
    of = f'instance="{getattr(services, name).removeprefix("http://")}"'
    requests = seen.changes(f'sum by (status) (http_requests_total{{{of}, handler="/predict"}})', "status")
    items = {kind: seen.changes(f"cache_{kind}_total{{{of}}}")[""] for kind in ("hits", "misses")}
    assert requests + Counter(items) == seen.sent[name]
    expected = {"lab_4": {"200", "422"}, "broken": {"500"}, "final_project": {"200", "422", "429", "503"}}
    assert set(requests) == expected[name]
    timed = seen.changes(f'sum(http_request_duration_seconds_count{{{of}, handler="/predict"}})')
    assert timed[""] == sum(requests.values())


def test_the_requests_that_were_rejected_are_those_that_got_429(seen: Seen) -> None:
    assert seen.changes('batcher_rejected_total{job="sentiment"}')[""] == seen.sent["final_project"]["429"]


def test_the_panels_can_be_drawn(seen: Seen, tmp_path: Path) -> None:
    draw.main(draw.Time(seen.prometheus, seen.began, seen.ended, WINDOW), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"dashboard-{lab}.png" for lab in ("final_project", "lab_4")
    ]
