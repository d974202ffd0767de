"""run.sh on minikube, and the objects of lab_4 that only some of its overlays have. See also test_cluster.py."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
from cluster import load, needs_cluster, pods, predict, ready_pods
from manifests import rendered
from repository import ROOT
from scripts import Start, commands, until

LAB = ROOT / "lab_4"
KUBECTL = "kubectl --context minikube"  # always named: the current context may be production
NO_METRICS, NO_ROLLOUT = '[[ "$*" != *apiservice* ]]', '[[ "$*" != *rollout* ]]'
ROLL_BACK = rf"((minikube|{KUBECTL}) .*\n)+{KUBECTL} .* get pods\n{KUBECTL} delete namespace w255 .*\n"
FAILURES = {  # what kubectl and minikube do, the error, and the calls of both after `minikube status`
    "no cluster": ("", "exit 85", "minikube did not start", "minikube start --cni=calico\nminikube delete\n"),
    "stopped cluster": ("", "exit 7", "minikube did not start", "minikube start\nminikube stop\n"),
    "partly running cluster": ("", "exit 4", "minikube runs, but not all of it", ""),
    "failing kubectl": ("exit 1", "", "kubectl cannot connect", f"{KUBECTL} get namespace .*\n"),
    "no metrics": (NO_METRICS, "", "the autoscaler needs a metrics-server", rf"({KUBECTL} get .*\n)+"),
    "failing rollout": (NO_ROLLOUT, "", "the deployment redis did not", ROLL_BACK),
}


@pytest.mark.parametrize(("kubectl", "minikube", "error", "calls"), FAILURES.values(), ids=FAILURES)
def test_failed_start_is_reported_and_leaves_the_cluster_as_it_was(
    kubectl: str, minikube: str, error: str, calls: str, tmp_path: Path, start: Start
) -> None:
    """With fake tools, for what a running cluster cannot show."""
    log = tmp_path / "calls"
    fakes = {tool: f'echo "{tool} $*" >>{log}\n{text}' for tool, text in (("kubectl", kubectl), ("minikube", minikube))}
    path = commands(tmp_path / "bin", docker="", **fakes) + ":" + os.environ["PATH"]
    script = start(LAB / "run.sh", "minikube", PATH=path, OVERLAY="autoscaling")
    assert script.wait_for_exit() == 1
    assert script.stderr.startswith(error)
    assert re.fullmatch(f"minikube status\n{calls}", log.read_text()), log.read_text()


@pytest.fixture
def namespace() -> Iterator[None]:
    with cluster.own_namespace():
        yield


@needs_cluster
def test_without_a_reachable_node_port_the_requests_go_through_a_port_forward(
    namespace: None, port: str, tmp_path: Path, start: Start
) -> None:
    """As on macOS, where the node is inside a virtual machine."""
    minikube = f'case $1 in ip) echo 127.9.9.9 ;; *) exec {shutil.which("minikube")} "$@" ;; esac'
    path = commands(tmp_path / "bin", minikube=minikube) + ":" + os.environ["PATH"]
    script = start(LAB / "run.sh", PORT=port, PATH=path)
    assert script.wait_for_exit() == 0, script.stdout + script.stderr
    assert "through kubectl port-forward: one connection to one pod" in script.stdout
    assert f"+ curl http://127.0.0.1:{port}/health" in script.stdout
    assert not cluster.namespace_exists()


@needs_cluster
def test_ctrl_c_deletes_the_namespace(namespace: None, start: Start) -> None:
    script = start(LAB / "run.sh", "minikube")
    script.wait_for_output("namespace/w255 created")
    script.interrupt()
    assert script.wait_for_exit() == 128 + signal.SIGINT
    assert not cluster.namespace_exists()


@needs_cluster
def test_namespace_of_another_person_is_not_changed(namespace: None, start: Start) -> None:
    cluster.kubectl("create", "namespace", "w255")
    script = start(LAB / "run.sh", "minikube")
    assert script.wait_for_exit() == 1
    assert f"did not create the namespace w255; if it is yours: {KUBECTL} delete namespace w255" in script.stderr
    assert cluster.namespace_exists()


@needs_cluster
@pytest.mark.skipif(os.environ.get("CRDS_READY") != "1", reason="needs the kinds of Istio and Prometheus: CRDS_READY=1")
@pytest.mark.parametrize("build", ["final_project prod", "lab_4 dev istio+hpa+monitoring"])
def test_api_server_accepts_every_object(build: str) -> None:
    items = [manifest for manifest in rendered(build) if manifest["kind"] != "Namespace"]
    for manifest in items:
        manifest["metadata"]["namespace"] = "default"  # it exists on every cluster, and a dry run changes nothing
    command = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    assert cluster.kubectl(*command, stdin=text, namespace="default").count(" serverside-applied") == len(items)


def is_idle() -> bool:
    """Two pods use less than 20 % of the CPU time that they have requested."""
    fields = "{.status.desiredReplicas} {.status.currentMetrics[*].containerResource.current.averageUtilization}"
    status = cluster.kubectl("get", "horizontalpodautoscaler", "api", "--output", f"jsonpath={fields}")
    return re.fullmatch(r"2 1?\d", status) is not None and len(ready_pods()) == len(pods("api")) == 2


@needs_cluster
def test_autoscaler_scales_out_under_load_and_back_in_and_loses_no_request(tmp_path: Path) -> None:
    with cluster.deployed(LAB, tmp_path, OVERLAY="autoscaling") as script:
        cluster.assert_deployed_and_smoke_tested(script.stdout)
        url = script.stdout.split("kept at ")[1].split()[0]
        until(is_idle, "two idle pods: a start also takes CPU time")
        with load(LAB, tmp_path, URL=url, PERCENT_NEW=30) as result:  # more than 0.2 CPUs, the target for 2 pods
            start = time.monotonic()
            until(lambda: len(ready_pods()) > 2, "a third pod")
            out = time.monotonic() - start
        assert result["failed"] == 0  # some may be unsent: 2 pods can be too slow until the third is ready
        start = time.monotonic()

        def two_pods() -> bool:
            assert predict(url)[0] == 200
            return len(pods("api")) == 2

        until(two_pods, "two pods again")
    print(f"a third pod after {out:.0f} s, two pods again {time.monotonic() - start:.0f} s after the load")
