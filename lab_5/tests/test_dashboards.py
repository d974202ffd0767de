"""The dashboard is complete, uses metrics of the service, and Grafana finds it."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from dashboards.build import FILE, text
from dashboards.live import queries
from dashboards.panels import PANELS
from services import HERE, LAB_4

SHOWN = [panel for panel in json.loads(FILE.read_bytes())["panels"] if panel["type"] != "row"]
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]


def test_file_is_what_the_library_builds() -> None:
    assert FILE.read_text() == text(), "run .venv/bin/python -m dashboards.build"


def test_each_panel_has_a_unit_a_description_and_queries_for_the_chosen_prometheus() -> None:
    assert [panel["title"] for panel in SHOWN] == [panel.title for panel in PANELS]
    for panel, source in zip(SHOWN, PANELS, strict=True):
        assert panel["fieldConfig"]["defaults"]["unit"] == source.unit
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        assert [target["expr"] for target in panel["targets"]] == list(source.queries.values())


def test_queries_name_only_statuses_of_the_service() -> None:
    named = {status for _, expr in queries() for status in re.findall(r'status(?:=~|!~|=)"([^"]*)"', expr)}
    assert named == {"200", "422", "429", "5..", "4..", "422|429", "429|5..", "200|429|5.."}


@pytest.mark.parametrize(("name", "expr"), [pytest.param(*query, id=query[0]) for query in queries()])
def test_each_metric_exists_in_the_service(name: str, expr: str) -> None:
    exported = set(re.findall(r'"((?:http|cache|model)_\w+)"', (LAB_4 / "src" / "metrics.py").read_text()))
    exported |= {"up", "process_cpu_seconds", "process_resident_memory_bytes"}  # of Prometheus and its client library
    used = {re.sub("_(total|bucket|sum|count)$", "", metric) for metric in re.findall(r"\b([a-z_]+)\{[^}]*job=", expr)}
    assert used <= {re.sub("_total$", "", metric) for metric in exported}, name
    assert used or "job:slo_errors_per_request" in expr


def test_compose_starts_no_container_as_root_and_opens_ports_only_on_this_machine() -> None:
    for name, service in COMPOSE.items():
        assert re.fullmatch(r"[\w/]+:v?[\d.]+[\w.-]*", service["image"]), name
        assert int(service["user"].split(":")[0]) > 0, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        for mount in service.get("volumes", []):
            assert not mount.startswith(".") or (HERE / mount.split(":")[0]).exists(), mount


def test_prometheus_of_compose_reads_the_rules_and_names_the_job_as_the_queries_do() -> None:
    config = yaml.safe_load((HERE / "provisioning" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"][0]["targets"][0].split(":")[0] in COMPOSE
    assert all((HERE / name).exists() for name in config["rule_files"])
    assert all(f'job="{job["job_name"]}"' in expr for _, expr in queries() if "slo_errors_per_request" not in expr)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_cluster_gets_the_dashboard_as_a_configmap_with_the_label_that_grafana_selects() -> None:
    output = subprocess.check_output(["kubectl", "kustomize", str(FILE.parent)], text=True)
    (made,) = yaml.safe_load_all(output)
    assert (made["kind"], made["metadata"]["labels"]["grafana_dashboard"]) == ("ConfigMap", "1")
    assert made["data"] == {FILE.name: FILE.read_text()}
