"""run.sh on minikube: it takes what it finds, leaves what is not its own, and cleans up."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
from repository import FINAL, LABS, name, project
from scripts import Start, answers, commands

HEADINGS = ["build", "start", "wait", "exercise", "clean up"]
NAMESPACE = "w255"

ON_MINIKUBE = [lab for lab in LABS if "minikube start" in (lab / "run.sh").read_text()]
on_minikube = pytest.mark.parametrize("lab", ON_MINIKUBE, ids=name)
# test_cluster_final.py begins with a run.sh that deploys and exercises
but_the_final = pytest.mark.parametrize("lab", [lab for lab in ON_MINIKUBE if lab != FINAL], ids=name)
needs_cluster = pytest.mark.skipif(bool(cluster.lacking()), reason=f"needs a cluster: {cluster.lacking()}")


@pytest.fixture
def no_namespace() -> Iterator[None]:
    """None is there, and none stays."""
    if there():
        pytest.fail(f"a namespace {NAMESPACE} is there: a lab that is kept up? The tests need that name")
    yield
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")


def kubectl(*words: str) -> str:
    return cluster.run("kubectl", "--context", cluster.CONTEXT, *words)


def there() -> bool:
    return kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") != ""


@needs_cluster
@but_the_final
def test_it_deploys_exercises_and_cleans_up_also_after_an_earlier_run(
    lab: Path, no_namespace: None, port: str, start: Start
) -> None:
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, f"made-by={project(lab).name}")
    kubectl("--namespace", NAMESPACE, "create", "configmap", "left-over")
    script = start(lab / "run.sh", PORT=port)
    assert script.ends() == 0, script.stdout + script.stderr
    assert re.findall(r"^== (.+)$", script.stdout, re.MULTILINE) == HEADINGS
    assert f"an earlier run left the namespace {NAMESPACE}\n" in script.stdout
    shown = script.stdout.split("\n== exercise\n")[1]
    assert re.findall(r"^x-cache-hits: (\d)", shown, re.MULTILINE) == ["0", "1", "0"]
    assert not there()
    assert not answers(port)
    assert cluster.lacking() == "", "the cluster was there before, and stays"


@needs_cluster
@but_the_final
def test_a_namespace_that_it_did_not_make_is_left_alone(lab: Path, no_namespace: None, port: str, start: Start) -> None:
    kubectl("create", "namespace", NAMESPACE)
    kubectl("--namespace", NAMESPACE, "create", "configmap", "of-somebody")
    script = start(lab / "run.sh", "minikube", PORT=port)
    assert script.ends() == 1
    assert script.stderr.splitlines()[-1].startswith(f"there is a namespace {NAMESPACE} that this lab did not make: ")
    assert "of-somebody" in kubectl("--namespace", NAMESPACE, "get", "configmaps")


@needs_cluster
@but_the_final
def test_ctrl_c_takes_the_namespace_away(lab: Path, no_namespace: None, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "minikube", PORT=port)
    script.says("== wait")
    script.interrupt()
    assert script.ends() == 128 + signal.SIGINT
    assert not there()


def stand_ins(folder: Path, **scripts: str) -> str:
    """These programs, which note how they were called, before all others."""
    noted = {tool: f'echo "{tool} $*" >>{folder}/calls\n{text}' for tool, text in scripts.items()}
    return commands(folder / "bin", **noted) + ":" + os.environ["PATH"]


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


@on_minikube
@pytest.mark.parametrize(("status", "after"), [(85, "delete"), (7, "stop")], ids=["there was none", "it was stopped"])
def test_a_cluster_that_does_not_start_is_told_and_left_as_it_was(
    lab: Path, status: int, after: str, port: str, tmp_path: Path, start: Start
) -> None:
    minikube = f"case $1 in status) exit {status} ;; start) exit 80 ;; esac"
    path = stand_ins(tmp_path, docker="", kubectl="exit 1", minikube=minikube)
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.ends() == 1
    assert script.stderr == "minikube did not start; ./run.sh local needs none\n"
    assert [call for call in calls(tmp_path) if call.startswith("minikube")] == [
        "minikube status",
        # its own network may not enforce policies; and the final project has an autoscaler
        "minikube start --cni=calico" + (" --addons=metrics-server" if lab == FINAL else ""),
        f"minikube {after}",
    ]
    assert not [call for call in calls(tmp_path) if "prune" in call]


@on_minikube
def test_a_cluster_that_does_not_answer_is_not_taken_for_an_empty_one(
    lab: Path, port: str, tmp_path: Path, start: Start
) -> None:
    path = stand_ins(tmp_path, docker="", kubectl="exit 1", minikube="")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.ends() == 1
    assert script.stderr == "kubectl does not get through to minikube: minikube status\n"
    assert not [call for call in calls(tmp_path) if " apply " in call or " delete " in call]


@on_minikube
def test_a_cluster_that_was_running_is_not_deleted(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    path = stand_ins(tmp_path, docker="", kubectl="", minikube="[ $1 != image ]")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.ends() == 1  # the image is not loaded
    assert {call.split()[1] for call in calls(tmp_path) if call.startswith("minikube")} == {"status", "image"}


@on_minikube
def test_every_call_of_kubectl_names_the_context(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    path = stand_ins(tmp_path, docker="", kubectl='[[ "$*" != *rollout* ]]', minikube="")
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.ends() == 1
    made = [call for call in calls(tmp_path) if call.startswith("kubectl")]
    assert any(" apply " in call for call in made)
    assert [call for call in made if not call.startswith("kubectl --context minikube ")] == []


@on_minikube
@pytest.mark.parametrize("tool", ["minikube", "kubectl"])
def test_a_missing_tool_is_told(lab: Path, tool: str, port: str, tmp_path: Path, start: Start) -> None:
    there = {each: "" for each in ("docker", "kubectl", "minikube") if each != tool}
    path = commands(tmp_path / "bin", "bash", "dirname", **there)
    script = start(lab / "run.sh", "minikube", PORT=port, PATH=path)
    assert script.ends() == 1
    assert script.stderr == f"{tool} is not installed: install it, or use ./run.sh local\n"
    assert script.stdout == ""
