"""The recording rules and alerts: valid, tried by promtool on made-up series, and each with its page in the runbook."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from dashboards.live import RULES
from dashboards.prometheus import metrics
from dashboards.rules import manifest
from services import LAB_4

promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed; on Debian and Ubuntu: apt install prometheus"
)


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yaml")}
RECORDED = {rule["record"]: rule for rule in rules("recording.yaml")}
TESTS = yaml.safe_load((RULES / "tests.yaml").read_text())["tests"]
each_alert = pytest.mark.parametrize("alert", ALERTS)


def told(*words: str) -> str:
    done = subprocess.run(["promtool", *words], cwd=RULES, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@promtool
def test_the_rules_are_valid() -> None:
    assert told("check", "rules", "recording.yaml", "alerts.yaml") == ""


@promtool
def test_each_alert_fires_when_it_must_and_only_then() -> None:
    assert told("test", "rules", "tests.yaml") == ""


@each_alert
def test_each_alert_has_a_series_that_fires_it_and_one_that_must_not(alert: str) -> None:
    tried = [each for test in TESTS for each in test["alert_rule_test"] if each["alertname"] == alert]
    assert {bool(each["exp_alerts"]) for each in tried} == {True, False}


@each_alert
def test_each_alert_names_a_section_of_the_runbook(alert: str) -> None:
    sections = re.findall(r"^## (\w+)$", (RULES.parent / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(ALERTS)
    annotations = ALERTS[alert]["annotations"]
    assert annotations["runbook_url"] == f"lab_5/runbook.md#{alert.lower()}"
    assert annotations["summary"].endswith(".")
    assert ALERTS[alert]["labels"]["severity"] in {"critical", "warning"}


def test_what_is_recorded_is_what_the_alerts_ask_for() -> None:
    asked = {metric for rule in ALERTS.values() for metric in metrics(rule["expr"]) if ":" in metric}
    assert asked == set(RECORDED)
    for name, rule in RECORDED.items():  # one expression a kind: only the window differs, and is in the name
        windows = set(re.findall(r"\[(\w+)\]", rule["expr"]))
        assert windows == {name.rpartition("_rate")[2]}
        assert rule["expr"].replace(f"[{windows.pop()}]", "[5m]") == RECORDED[re.sub("rate.*$", "rate5m", name)]["expr"]


def test_the_bound_of_the_latency_objective_is_a_bucket_of_the_service() -> None:
    bounds = set(re.findall(r'le="([^"]+)"', (RULES / "recording.yaml").read_text()))
    buckets = re.search(r"^TIME_BUCKETS = \((.*)\)$", (LAB_4 / "src" / "metrics.py").read_text(), re.MULTILINE)
    assert buckets
    assert bounds <= set(buckets[1].split(", "))


def test_the_operator_gets_the_same_rules() -> None:
    spec = manifest()["spec"]
    assert [rule for group in spec["groups"] for rule in group["rules"]] == rules("recording.yaml") + rules(
        "alerts.yaml"
    )
