"""The dashboards' files: what the library builds, complete, and where a Grafana finds them."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.build import path, text
from dashboards.panels import panels
from dashboards.prometheus import metrics
from dashboards.service import LAB_4, SERVICES, Service
from services import HERE

LAB = HERE

each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.lab)


def shown(service: Service) -> list[dict[str, Any]]:
    everything: list[dict[str, Any]] = json.loads(path(service).read_bytes())["panels"]
    return [panel for panel in everything if panel["type"] != "row"]


def counted(service: Service) -> str:
    """What the README tells of the service's metrics."""
    return (HERE.parent / service.lab / "README.md").read_text().split("# Metrics\n")[1].split("\n## ")[0]


@each_service
def test_the_file_is_what_the_library_builds(service: Service) -> None:
    assert path(service).read_bytes() == text(service).encode(), "run .venv/bin/python -m dashboards.build"


@each_service
def test_the_file_is_of_the_library_s_schema(service: Service) -> None:
    """What the schema does not know is lost on the way through it."""
    register_default_plugins()
    file = path(service).read_text()
    through = json.dumps(Dashboard.from_json(json.loads(file)), cls=JSONEncoder)
    assert json.loads(through) == json.loads(file)


@each_service
def test_each_panel_has_a_unit_a_description_and_a_link_to_what_is_counted(service: Service) -> None:
    assert len(shown(service)) == len(panels(service))
    for panel in shown(service):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert [link["url"] for link in panel["links"]] == [
            f"${{repository}}/blob/main/{service.lab}/README.md#metrics"
        ]


@each_service
def test_each_panel_asks_the_prometheus_that_was_chosen_for_the_queries_of_panels_py(service: Service) -> None:
    asked = [[target["expr"] for target in panel["targets"]] for panel in shown(service)]
    assert asked == [list(panel.queries.values()) for panel in panels(service)]
    assert {panel["datasource"]["uid"] for panel in shown(service)} == {"${datasource}"}


@each_service
def test_no_panel_lies_on_another(service: Service) -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in shown(service)):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


@each_service
def test_each_metric_is_in_the_readme_and_of_the_service_s_job(service: Service) -> None:
    for panel in panels(service):
        for expr in panel.queries.values():
            assert expr.count(f'job="{service.job}", namespace=~"$namespace"') == expr.count("{"), expr
            for metric in metrics(expr):
                name = "process_" if metric.startswith("process_") else re.sub("_(bucket|sum|count)$", "", metric)
                assert f"`{name}" in counted(service) or f"`{metric}" in counted(service), metric


# Where a Grafana gets them


def test_compose_starts_nothing_as_root_and_opens_nothing_but_to_this_machine() -> None:
    for name, service in yaml.safe_load((LAB / "compose.yaml").read_text())["services"].items():
        assert re.fullmatch(r"[\w/]+:v?[\d.]+[\w.-]*", service["image"]), name
        assert int(service["user"].split(":")[0]) > 0, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        for mount in service.get("volumes", []):
            assert not mount.startswith(".") or (LAB / mount.split(":")[0]).exists(), mount


def test_compose_s_prometheus_reads_the_rules_and_names_the_job_as_the_dashboard_does() -> None:
    config = yaml.safe_load((LAB / "provisioning" / "prometheus.yml").read_text())
    assert [job["job_name"] for job in config["scrape_configs"]] == [LAB_4.job]
    assert all((LAB / name).exists() for name in config["rule_files"])


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_a_cluster_gets_the_files_as_configmaps_that_grafana_looks_for() -> None:
    command = ["kubectl", "kustomize", str(LAB / ".k8s")]
    made = list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert [each["kind"] for each in made] == ["ConfigMap"] * len(SERVICES)
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in made} == {"1"}
    given = {name: text for each in made for name, text in each["data"].items()}
    assert given == {path(service).name: path(service).read_text() for service in SERVICES}
