"""The rules for Prometheus: promtool accepts and tests them, and the runbook has an entry for every alert."""

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import PROJECT, server

RULES = PROJECT.parent / "rules"
RECORDING, ALERTING, TESTS = ((RULES / f"{name}.yaml").read_text() for name in ("recording", "alerts", "tests"))
RUNBOOK = (PROJECT.parent / "runbook.md").read_text()
ALERTS = re.findall(r"- alert: (\w+)", ALERTING)
ENTRIES = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
FROM_PROMETHEUS = {"job", "namespace", "pod"}  # labels that the service does not set


def promtool(*arguments: str) -> str:
    if not shutil.which("promtool"):
        pytest.skip("promtool, a part of Prometheus, is not installed")
    result = subprocess.run(["promtool", *arguments], cwd=RULES, capture_output=True, text=True)  # noqa: S607
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_rules_are_valid_and_alerts_fire_when_they_should() -> None:
    promtool("check", "rules", "recording.yaml", "alerts.yaml")
    promtool("test", "rules", "tests.yaml")


def test_object_for_the_operator_has_all_rules(tmp_path: Path) -> None:
    manifest = subprocess.check_output([RULES / "prometheus-rule.sh"], text=True)
    spec = textwrap.dedent(manifest.partition("\nspec:\n")[2])
    (tmp_path / "rules.yaml").write_text(spec)
    rules = len(re.findall("- (?:record|alert): ", RECORDING + ALERTING))
    assert f"SUCCESS: {rules} rules found" in promtool("check", "rules", str(tmp_path / "rules.yaml"))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_that_fires_it_and_one_that_does_not(alert: str) -> None:
    assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", TESTS)
    assert f"alertname: {alert}, exp_alerts: []" in TESTS


def test_recording_rules_differ_only_in_their_window() -> None:
    rules = re.findall(r"- record: \S+_rate(\w+)\n(.*?)\n(?= *- | *#|\Z)", RECORDING, re.DOTALL)
    assert [window for window, _ in rules] == 2 * ["5m", "30m", "1h", "6h"]
    assert len({rule.replace(f"[{window}]", "") for window, rule in rules}) == 2


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_texts_and_an_entry_in_the_runbook(alert: str) -> None:
    rule = ALERTING.partition(f"- alert: {alert}\n")[2].partition("- alert: ")[0]
    assert re.search(r"summary: '.+\.'\n +description: '.+\.'\n", rule)
    assert f"runbook_url: final_project/runbook.md#{alert.lower()}\n" in rule
    assert re.findall(r"^\*\*(.+?)\.\*\*", ENTRIES[alert], re.MULTILINE) == ["Meaning", "First look", "Action"]


def test_every_entry_of_the_runbook_is_for_an_alert() -> None:
    assert list(ENTRIES) == ALERTS


def test_metrics_of_rules_and_runbook_exist_with_their_labels() -> None:
    with (
        server(REDIS_URL="redis://127.0.0.1:1") as (port, _),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as service,
    ):
        assert service.post("/predict", json={"text": ["I love you!"]}).status_code == 200
        assert service.get("/health/live").status_code == 200
        families = list(text_string_to_metric_families(service.get("/metrics").text))
    samples = [sample for family in families for sample in family.samples]
    mentioned = re.findall(r"\b(?:http|model|batcher|cache|process)_\w+(?<!_)", RECORDING + ALERTING + RUNBOOK)
    assert mentioned
    assert set(mentioned) - {sample.name for sample in samples} == set()
    selectors = re.findall(r"\b([a-z_]+)\{(.+?)\}", re.sub(r"\{\{.*?\}\}", "", RECORDING + ALERTING))
    for name, matchers in selectors:
        if name == "up":  # of Prometheus
            continue
        labels = dict(re.findall(r'(\w+)=~?"(.*?)"', matchers))
        values = {label: labels[label] for label in ("handler", "le") if label in labels}
        found = [sample.labels for sample in samples if sample.name == name and values.items() <= sample.labels.items()]
        assert found, f"{name}{{{matchers}}}"
        assert labels.keys() - FROM_PROMETHEUS <= found[0].keys()
