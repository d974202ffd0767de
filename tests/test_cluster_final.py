"""The final project on a real cluster, deployed by its `./run.sh`: a rollout and a deleted pod under load lose no
request."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
from cluster import load, wait_until
from repository import FINAL, project, without
from scripts import Script

pytestmark = pytest.mark.skipif(
    bool(cluster.missing_requirement()), reason=f"needs a cluster: {cluster.missing_requirement()}"
)

IMAGE, NAMESPACE, PORT = "finalproject:6.0.0", "w255", 30086  # as run.sh and the overlay dev have them
LOAD = Path(__file__).with_name("texts.js")
SECONDS = 75


def kubectl(*words: str) -> str:
    return cluster.kubectl(*words, namespace=NAMESPACE)


def ready() -> dict[str, str]:
    """The images of the pods that take requests, by name."""
    return {
        pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
        for pod in cluster.pods("api", NAMESPACE)
        if "deletionTimestamp" not in pod["metadata"]
        and all(status["ready"] for status in pod["status"].get("containerStatuses", [{"ready": False}]))
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `./run.sh minikube --keep` says until it keeps the service up. There it is killed, and cannot clean up: it
    would do so when the pod that its port leads to goes."""
    cluster.run("docker", "build", "--tag", IMAGE, str(project(FINAL)), timeout=900)  # run.sh finds it done
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = Script(
        tmp_path_factory.mktemp("run"), f"{FINAL}/run.sh", "minikube", "--keep", environment=without(PORT=port)
    )
    try:
        script.says("kept at ")
        os.killpg(script.process.pid, signal.SIGKILL)
        script.process.wait(10)
        yield script.stdout
        kubectl("delete", "namespace", NAMESPACE, "--timeout", "120s")
    finally:
        if script.process.poll() is None:
            script.interrupt()
            script.ends()


@pytest.fixture(scope="module")
def next_image() -> str:
    """The same service under another name, as a release would be."""
    cluster.run("docker", "build", "--tag", f"{IMAGE}-next", "-", stdin=f"FROM {IMAGE}\nLABEL release=next\n")
    cluster.load_image(f"{IMAGE}-next")
    return f"{IMAGE}-next"


def test_run_sh_deploys_and_exercises(said: str) -> None:
    assert re.findall(r"^== (.+)$", said, re.MULTILINE) == ["build", "start", "wait", "exercise"]
    shown = said.split("\n== exercise\n")[1]
    assert re.findall(r"^x-cache-hits: (\d)", shown, re.MULTILINE) == ["0", "2", "0"]


def test_a_rollout_and_a_deleted_pod_lose_no_request(said: str, next_image: str, tmp_path: Path) -> None:
    url = f"http://{cluster.run('minikube', 'ip').strip()}:{PORT}"
    wait_until(lambda: len(ready()) >= 2, "two pods: the autoscaler asks for the second")
    wait_until(lambda: cluster.responds(url), f"an answer at {url}", 30)
    with load(FINAL.name, url, SECONDS, tmp_path, str(LOAD)) as running:
        kubectl("set", "image", "deployment/api", f"api={next_image}")
        kubectl("rollout", "status", "deployment/api", "--timeout", "120s")
        assert set(ready().values()) == {next_image}
        first = min(ready())
        kubectl("delete", "pod", first)  # until it is gone
        wait_until(lambda: len(ready()) >= 2, "two pods again", 90)
    assert first not in ready()
    assert running.requests >= 0.9 * 40 * SECONDS
    assert running.failures == [], running.log
