"""lab_4 on a real cluster: the autoscaler under load, and every object of its overlays before the API server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
from cluster import kubectl, load, pods, wait_until
from manifests import Manifest, name
from test_cluster import hits

LAB = "lab_4"

pytestmark = pytest.mark.skipif(
    bool(cluster.missing_requirement()), reason=f"needs a cluster: {cluster.missing_requirement()}"
)


def ready() -> int:
    return sum(status["ready"] for pod in pods("api") for status in pod["status"].get("containerStatuses", ()))


def idle() -> bool:
    (scaler,) = cluster.objects("horizontalpodautoscalers")
    (seen,) = scaler["status"].get("currentMetrics") or [{}]
    used = seen.get("containerResource", {}).get("current", {}).get("averageUtilization", 100)
    return bool(ready() == len(pods("api")) == scaler["status"]["desiredReplicas"] == 2 and used < 25)


def test_the_autoscaler_scales_out_under_load_and_back_in_and_loses_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWS", "20")  # about 0.4 CPUs, where two pods are to have 0.2
    monkeypatch.setenv("PERCENT_NEW", "30")
    with cluster.deployed(f"{LAB} dev hpa") as url:
        wait_until(idle, "two pods with nothing to do: a start takes CPU, too", 360)
        with load(LAB, url, 62, tmp_path) as running:
            wait_until(lambda: ready() > 2, "a third pod", 240)
        assert running.requests >= 6000
        assert running.failures == [], running.log
        wait_until(lambda: [hits(url) for _ in range(5)] and len(pods("api")) == 2, "two pods again", 300)


@pytest.fixture
def namespace() -> Iterator[None]:
    yield
    kubectl("delete", "namespace", cluster.NAMESPACE, "--ignore-not-found", "--timeout", "120s")


@pytest.mark.skipif(os.environ.get("CRDS_READY") != "1", reason="needs the kinds of Istio and Prometheus: CRDS_READY=1")
@pytest.mark.parametrize("mix", [f"{LAB} prod", f"{LAB} dev istio+hpa+monitoring"])
def test_every_object_is_accepted_by_the_api_server(mix: str, namespace: None) -> None:
    """Schemas, defaults and admission, with unknown fields refused. Nothing acts on what is of Istio or Prometheus."""
    applied = cluster.manifests(mix)
    kinds = {manifest["kind"] for manifest in applied}
    assert {"VirtualService", "PeerAuthentication", "PodMonitor", "HorizontalPodAutoscaler"} <= kinds
    first = [manifest for manifest in applied if manifest["kind"] == "Namespace"]
    for part in (first, [manifest for manifest in applied if manifest not in first]):
        said = kubectl("apply", "--server-side", "--validate=strict", "--filename", "-", stdin=listed(part))
        assert said.count(" serverside-applied") == len(part)
    there = json.loads(kubectl("get", "--filename", "-", "--output", "json", stdin=listed(applied)))["items"]
    assert sorted(map(name, there)) == sorted(map(name, applied))


@pytest.mark.skipif(os.environ.get("CRDS_READY") != "1", reason="needs the kinds of Istio and Prometheus: CRDS_READY=1")
def test_an_object_with_a_field_that_is_none_is_not_accepted(namespace: None) -> None:
    applied = cluster.manifests(f"{LAB} prod")
    kubectl("apply", "--filename", "-", stdin=listed([each for each in applied if each["kind"] == "Namespace"]))
    (route,) = (manifest for manifest in applied if manifest["kind"] == "VirtualService")
    route["spec"]["http"][1]["retrys"] = {}
    with pytest.raises(AssertionError, match="retrys"):
        kubectl("apply", "--server-side", "--validate=strict", "--filename", "-", stdin=listed([route]))


def listed(manifests: list[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
