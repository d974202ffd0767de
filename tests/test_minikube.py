"""run.sh on minikube: it deploys and cleans up, and it changes nothing that it did not create."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
from repository import FINAL, LABS, REBUILT, name, project
from scripts import Start, answers, commands

NAMESPACE = "w255"
NODE_PORT = "through the NodePort, which distributes the connections"
PORT_FORWARD = "through kubectl port-forward: one connection to one pod"

ON_MINIKUBE = [lab for lab in LABS if "minikube start" in (lab / "run.sh").read_text()]
every_lab = pytest.mark.parametrize("lab", ON_MINIKUBE, ids=name)
every_rebuilt_lab = pytest.mark.parametrize("lab", [lab for lab in ON_MINIKUBE if lab in REBUILT], ids=name)
# test_cluster_final.py starts with a run.sh that deploys the final project and tests it
every_lab_but_the_final_project = pytest.mark.parametrize("lab", [lab for lab in ON_MINIKUBE if lab != FINAL], ids=name)
needs_cluster = pytest.mark.skipif(
    bool(cluster.missing_requirement()), reason=f"needs a cluster: {cluster.missing_requirement()}"
)


@pytest.fixture
def no_namespace() -> Iterator[None]:
    """The namespace does not exist before the test and after it."""
    if namespace_exists():
        pytest.fail(f"the namespace {NAMESPACE} exists: does a run.sh --keep run? These tests need that name")
    yield
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")


def kubectl(*arguments: str) -> str:
    return cluster.run("kubectl", "--context", cluster.CONTEXT, *arguments)


def namespace_exists() -> bool:
    return kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") != ""


def headings(lab: Path) -> list[str]:
    return ["build", "start", "wait", "smoke test" if lab in REBUILT else "exercise", "clean up"]


def hits(output: str) -> list[str]:
    """The hits of the requests with `curl -i`: a miss, a hit, and a miss without Redis."""
    return re.findall(r"^x-cache-hits: (\d)", output, re.MULTILINE)


# On a real cluster


@needs_cluster
@every_lab_but_the_final_project
def test_it_deploys_tests_and_cleans_up_also_after_an_earlier_run(
    lab: Path, no_namespace: None, port: str, start: Start
) -> None:
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, f"made-by={project(lab).name}")
    kubectl("--namespace", NAMESPACE, "create", "configmap", "left-over")
    script = start(lab / "run.sh", PORT=port)
    assert script.wait_for_exit() == 0, script.stdout + script.stderr
    assert re.findall(r"^== (.+)$", script.stdout, re.MULTILINE) == headings(lab)
    assert re.search(rf"(deleting|an earlier run left) the namespace {NAMESPACE}", script.stdout)
    assert hits(script.stdout) == ["0", "1", "0"]
    if lab in REBUILT:
        assert NODE_PORT in script.stdout
        assert f"+ curl http://{cluster.run('minikube', 'ip').strip()}:30" in script.stdout
    assert not namespace_exists()
    assert not answers(port)
    assert cluster.missing_requirement() == "", "the cluster was running before, and must still run"


@needs_cluster
@every_rebuilt_lab
def test_without_a_reachable_node_port_the_requests_go_through_a_port_forward(
    lab: Path, no_namespace: None, port: str, tmp_path: Path, start: Start
) -> None:
    """As on macOS, where the node is inside a virtual machine."""
    minikube = f'case $1 in ip) echo 127.9.9.9 ;; *) exec {shutil.which("minikube")} "$@" ;; esac'
    path = commands(tmp_path / "bin", minikube=minikube) + ":" + os.environ["PATH"]
    script = start(lab / "run.sh", "minikube", "--keep", PORT=port, PATH=path)
    script.wait_for_output("kept at ")
    assert PORT_FORWARD in script.stdout
    assert f"kept at http://127.0.0.1:{port} until Ctrl-C" in script.stdout
    assert hits(script.stdout) == ["0", "1", "0"]
    script.interrupt()
    assert script.wait_for_exit() == 128 + signal.SIGINT
    assert not namespace_exists()
    assert not answers(port)


@needs_cluster
@every_lab_but_the_final_project
def test_it_does_not_touch_a_namespace_that_it_did_not_create(
    lab: Path, no_namespace: None, port: str, start: Start
) -> None:
    kubectl("create", "namespace", NAMESPACE)
    kubectl("--namespace", NAMESPACE, "create", "configmap", "of-another-person")
    script = start(lab / "run.sh", "minikube", PORT=port)
    assert script.wait_for_exit() == 1
    assert re.match(r"th.+ did not (create|make)", script.stderr.splitlines()[-1])
    assert script.stderr.endswith(f"kubectl --context minikube delete namespace {NAMESPACE}\n") or lab not in REBUILT
    assert "of-another-person" in kubectl("--namespace", NAMESPACE, "get", "configmaps")


@needs_cluster
@every_lab_but_the_final_project
def test_ctrl_c_deletes_the_namespace(lab: Path, no_namespace: None, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "minikube", PORT=port)
    script.wait_for_output("== wait")
    script.interrupt()
    assert script.wait_for_exit() == 128 + signal.SIGINT
    assert not namespace_exists()


# With stand-ins for the tools


def stand_ins(folder: Path, **scripts: str) -> str:
    """A PATH with these programs, which log their calls, before all others."""
    logging = {tool: f'echo "{tool} $*" >>{folder}/calls\n{text}' for tool, text in scripts.items()}
    return commands(folder / "bin", **logging) + ":" + os.environ["PATH"]


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


@every_lab
@pytest.mark.parametrize(("status", "cleanup"), [(85, "delete"), (7, "stop")], ids=["no cluster", "stopped cluster"])
def test_cluster_that_does_not_start_is_reported_and_left_as_it_was(
    lab: Path, status: int, cleanup: str, port: str, tmp_path: Path, start: Start
) -> None:
    minikube = f"case $1 in status) exit {status} ;; start) exit 80 ;; esac"
    path = stand_ins(tmp_path, docker="", kubectl="exit 1", minikube=minikube)
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1
    assert re.fullmatch(r"minikube did not start; (try \./run\.sh local|\./run\.sh local needs none)\n", script.stderr)
    assert [call for call in calls(tmp_path) if call.startswith("minikube")] == [
        "minikube status",
        # minikube's default network plugin may not enforce policies. The final project has an autoscaler.
        "minikube start"
        + (" --cni=calico" if status == 85 or lab not in REBUILT else "")
        + (" --addons=metrics-server" if lab == FINAL else ""),
        f"minikube {cleanup}",
    ]
    assert not [call for call in calls(tmp_path) if "prune" in call]


@every_lab
def test_failing_kubectl_is_not_taken_for_a_cluster_without_the_namespace(
    lab: Path, port: str, tmp_path: Path, start: Start
) -> None:
    path = stand_ins(tmp_path, docker="", kubectl="exit 1", minikube="")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1
    assert re.fullmatch(r"kubectl (cannot connect|does not get through) to minikube: minikube status\n", script.stderr)
    assert not [call for call in calls(tmp_path) if " apply " in call or " delete " in call]


@every_lab
def test_running_cluster_is_not_stopped(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    path = stand_ins(tmp_path, docker="", kubectl="", minikube="[ $1 != image ]")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1  # the image is not loaded
    assert {call.split()[1] for call in calls(tmp_path) if call.startswith("minikube")} == {"status", "image"}


@every_rebuilt_lab
def test_partly_running_cluster_is_not_changed(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    """`minikube status` is 4 if Kubernetes does not run, 2 if a node does not, 1 if the cluster is stopped."""
    path = stand_ins(tmp_path, docker="", kubectl="", minikube="exit 4")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1
    assert script.stderr == "minikube runs, but not all of it: minikube status\n"
    assert [call for call in calls(tmp_path) if call.startswith("minikube")] == ["minikube status"]


@every_lab
def test_every_call_of_kubectl_names_the_context(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    path = stand_ins(tmp_path, docker="", kubectl='[[ "$*" != *rollout* ]]', minikube="")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1
    kubectl_calls = [call for call in calls(tmp_path) if call.startswith("kubectl")]
    assert any(" apply " in call for call in kubectl_calls)
    assert [call for call in kubectl_calls if not call.startswith("kubectl --context minikube ")] == []


@every_rebuilt_lab
def test_port_in_use_matters_only_for_a_port_forward(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    """The stand-in for curl fails for every URL, so that the NodePort is not reachable."""
    path = stand_ins(tmp_path, docker="", kubectl="", minikube="", curl="exit 7")
    with socket.create_server(("127.0.0.1", int(port))):
        script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
        assert script.wait_for_exit() == 1
    assert script.stderr == f"port {port} is in use: PORT={int(port) + 1} ./run.sh\n"
    assert "== wait" in script.stdout


@every_lab
@pytest.mark.parametrize("tool", ["minikube", "kubectl"])
def test_missing_tool_is_reported(lab: Path, tool: str, port: str, tmp_path: Path, start: Start) -> None:
    tools = {other: "" for other in ("curl", "docker", "kubectl", "minikube") if other != tool}
    path = commands(tmp_path / "bin", "bash", "dirname", **tools)
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1
    assert script.stderr == f"{tool} is not installed: install it, or use ./run.sh local\n"
    assert script.stdout == ""
