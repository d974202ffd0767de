"""The rules for Prometheus: promtool accepts and tests them, and the runbook has an entry for every alert."""

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import PROJECT, server

RULES = PROJECT.parent / "rules"
RECORDING, ALERTING, TESTS = ((RULES / f"{name}.yaml").read_text() for name in ("recording", "alerts", "tests"))
RUNBOOK = (PROJECT.parent / "runbook.md").read_text()
ALERTS = re.findall(r"- alert: (\w+)", ALERTING)
ENTRIES = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))


def promtool(*arguments: str, content: str = "") -> str:
    if not shutil.which("promtool"):
        pytest.skip("promtool, a part of Prometheus, is not installed")
    command = ["promtool", *arguments]
    result = subprocess.run(command, cwd=RULES, input=content, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return result.stdout


def test_names_of_metrics_follow_the_conventions_of_prometheus(client: TestClient) -> None:
    assert promtool("check", "metrics", content=client.get("/metrics").text) == ""


def test_rules_are_valid_and_alerts_fire_when_they_should(tmp_path: Path) -> None:
    promtool("check", "rules", "recording.yaml", "alerts.yaml")
    promtool("test", "rules", "tests.yaml")
    manifest = subprocess.check_output([RULES / "prometheus-rule.sh"], text=True)  # for the operator
    (tmp_path / "rules.yaml").write_text(textwrap.dedent(manifest.partition("\nspec:\n")[2]))
    rules = len(re.findall("- (?:record|alert): ", RECORDING + ALERTING))
    assert f"SUCCESS: {rules} rules found" in promtool("check", "rules", str(tmp_path / "rules.yaml"))


def test_recording_rules_differ_only_in_their_window() -> None:
    rules = re.findall(r"- record: \S+_rate(\w+)\n(.*?)\n(?= *- | *#|\Z)", RECORDING, re.DOTALL)
    assert [window for window, _ in rules] == 2 * ["5m", "30m", "1h", "6h"]
    assert len({rule.replace(f"[{window}]", "") for window, rule in rules}) == 2


def test_every_alert_has_texts_an_entry_in_the_runbook_and_tests_that_fire_it_and_that_do_not() -> None:
    assert list(ENTRIES) == ALERTS
    for alert in ALERTS:
        rule = ALERTING.partition(f"- alert: {alert}\n")[2].partition("- alert: ")[0]
        assert re.search(r"summary: '.+\.'\n +description: '.+\.'\n", rule), alert
        assert f"runbook_url: final_project/runbook.md#{alert.lower()}\n" in rule
        assert re.findall(r"^\*\*(.+?)\.\*\*", ENTRIES[alert], re.MULTILINE) == ["Meaning", "First look", "Action"]
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", TESTS), alert
        assert f"alertname: {alert}, exp_alerts: []" in TESTS


def test_metrics_of_rules_and_runbook_exist_with_their_labels() -> None:
    with server(REDIS_URL="redis://127.0.0.1:1") as (service, _):
        assert service.post("/predict", json={"text": ["I love you!"]}).status_code == 200
        assert service.get("/health/live").status_code == 200
        families = list(text_string_to_metric_families(service.get("/metrics").text))
    samples = [sample for family in families for sample in family.samples]
    mentioned = set(re.findall(r"\b(?:http|model|batcher|cache|process)_\w+(?<!_)", RECORDING + ALERTING + RUNBOOK))
    assert mentioned - {sample.name for sample in samples} == set() != mentioned
    for name, matchers in re.findall(r"\b([a-z_]+)\{(.+?)\}", re.sub(r"\{\{.*?\}\}", "", RECORDING + ALERTING)):
        labels = dict(re.findall(r'(\w+)=~?"(.*?)"', matchers))
        values = {label: labels[label] for label in ("handler", "le") if label in labels}
        found = [sample.labels for sample in samples if sample.name == name and values.items() <= sample.labels.items()]
        own_labels = labels.keys() - {"job", "namespace", "pod"}  # the others are from Prometheus
        assert name == "up" or (found and own_labels <= found[0].keys()), f"{name}{{{matchers}}}"
