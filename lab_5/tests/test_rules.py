"""The rules are valid, fire when they should, follow from the SLOs, and each alert has an entry in the runbook."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml

from dashboards.live import RULES, rules
from dashboards.panels import PANELS
from services import HERE, LAB_4
from slo import ABOVE, FIRES

ALERTS = {rule["alert"]: rule for rule in rules("alerts.yaml")}
RECORDED = rules("recording.yaml")
PAGE = (HERE / "slo.md").read_text()
SCENARIOS = yaml.safe_load((RULES / "tests.yaml").read_text())["tests"]
PERIOD_HOURS = 30 * 24


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed: see lab_4/README.md")
@pytest.mark.parametrize("command", ["check rules recording.yaml alerts.yaml", "test rules tests.yaml"])
def test_promtool_accepts_the_rules_and_their_unit_tests(command: str) -> None:
    run = subprocess.run(["promtool", *command.split()], cwd=RULES, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_unit_tests_have_series_that_fire_the_alert_and_series_that_do_not(alert: str) -> None:
    checks = [check for scenario in SCENARIOS for check in scenario.get("alert_rule_test", [])]
    assert {bool(check["exp_alerts"]) for check in checks if check["alertname"] == alert} == {True, False}


def test_each_alert_links_to_its_entry_in_the_runbook() -> None:
    page = (HERE / "runbook.md").read_text()
    entries = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(ALERTS) <= set(entries)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"lab_5/runbook.md#{name.lower()}"
        assert re.findall(r"^\*\*(.+?)\.\*\*", entries[name], re.MULTILINE) == ["Meaning", "First look", "Action"]
        assert "```console\n$ " in entries[name]


def test_recording_rules_of_an_slo_differ_only_in_their_window() -> None:
    for slo in ("availability", "latency"):
        recorded = {
            rule["record"].rpartition("_rate")[2]: rule["expr"] for rule in RECORDED if rule["labels"]["slo"] == slo
        }
        assert list(recorded) == ["5m", "30m", "1h", "6h"]
        assert len({expr.replace(f"[{window}]", "[window]") for window, expr in recorded.items()}) == 1


@pytest.mark.parametrize(
    ("alert", "windows", "budget_share"),
    [("ErrorBudgetBurnFast", {"1h": 1, "5m": 1 / 12}, 0.02), ("ErrorBudgetBurnSlow", {"6h": 6, "30m": 0.5}, 0.05)],
)
def test_burn_rate_follows_from_the_window_and_the_share_of_the_budget(
    alert: str, windows: dict[str, float], budget_share: float
) -> None:
    found = re.findall(r'ratio_rate(\w+)\{slo="(\w+)"} > ([\d.]+) \* \(1 - ([\d.]+)\)', ALERTS[alert]["expr"])
    burn_rate = f"{budget_share * PERIOD_HOURS / max(windows.values()):g}"
    objectives = {"availability": "0.995", "latency": "0.99"}
    assert found == [(window, slo, burn_rate, objectives[slo]) for slo in objectives for window in windows]
    assert f"= {burn_rate}" in PAGE
    budgets = {slo: f"{1 - float(objective):g}" for slo, objective in objectives.items()}
    for panel in (panel for panel in PANELS if panel.title.startswith("Burn rate")):
        assert {slo: expr.split(" / ")[1] for slo, expr in panel.queries.items()} == budgets


def test_page_has_the_times_of_the_picture() -> None:
    long, short, both = (
        np.flatnonzero(np.diff(above.astype(int), prepend=0)) / 60 for above in (*ABOVE.values(), FIRES)
    )
    for minute in (*both, short[0], long[-1]):
        assert f"minute {minute:.1f}" in PAGE


def test_bound_of_the_latency_slo_is_a_bucket_of_the_service() -> None:
    (bound,) = set(re.findall(r'le="([^"]+)"', (RULES / "recording.yaml").read_text()))
    buckets = re.search(r"^TIME_BUCKETS = \((.*)\)$", (LAB_4 / "src" / "metrics.py").read_text(), re.MULTILINE)
    assert buckets
    assert bound in buckets[1].split(", ")
    assert f"at most {bound} s" in PAGE


def test_prometheus_operator_gets_the_same_rules() -> None:
    printed = yaml.safe_load(subprocess.check_output([RULES / "prometheus-rule.sh"], text=True))
    assert [rule for group in printed["spec"]["groups"] for rule in group["rules"]] == [*RECORDED, *ALERTS.values()]
