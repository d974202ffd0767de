"""A lab on a real cluster, deployed by its run.sh, and a constant load from k6."""

import contextlib
import functools
import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repository import FINAL, project, without
from scripts import Script, until

CONTEXT = "minikube"  # always named: the current context may be production
NAMESPACE = "w255"
BLOCK_GROUP = b"""{"data": [{"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322,
"AveOccup": 2.556, "Latitude": 37.88, "Longitude": -122.23}]}"""


@functools.cache
def missing_requirement() -> str:
    """What this machine lacks for a test on a cluster, or an empty string."""
    for command in ("docker info", "minikube version", f"kubectl --context {CONTEXT} --request-timeout 10s get nodes"):
        if not shutil.which(command.split()[0]) or subprocess.run(command.split(), capture_output=True).returncode != 0:
            return f"`{command}` fails"
    return ""


needs_docker = pytest.mark.skipif("docker" in missing_requirement(), reason="Docker is not running")
needs_cluster = pytest.mark.skipif(bool(missing_requirement()), reason=f"needs a cluster: {missing_requirement()}")


def run(*command: str, stdin: str | None = None) -> str:
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stdout}{result.stderr}"
    return result.stdout


def kubectl(*arguments: str, stdin: str | None = None, namespace: str = NAMESPACE) -> str:
    return run("kubectl", "--context", CONTEXT, "--namespace", namespace, *arguments, stdin=stdin)


def pods(name: str) -> list[dict[str, Any]]:
    time.sleep(0.2)  # until() calls this often, and kubectl uses CPU time that the service needs
    output = kubectl("get", "pods", "--selector", f"app.kubernetes.io/name={name}", "--output", "json")
    return list(json.loads(output)["items"])


def ready_pods() -> dict[str, str]:
    """The images of the api's pods that are ready and not terminating, by name."""
    return {
        pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
        for pod in pods("api")
        if "deletionTimestamp" not in pod["metadata"]
        and [status["ready"] for status in pod["status"].get("containerStatuses", ())] == [True]
    }


def load_next_image() -> str:
    """The same service under another name, as a new release. Returns the name."""
    image = next(iter(ready_pods().values()))
    run("docker", "tag", image, f"{image}-next")
    run("minikube", "image", "load", f"{image}-next")
    return f"{image}-next"


def send_signal(pod: dict[str, Any], signal: str) -> None:
    """Sends a signal from the pod's node: a container's first process ignores SIGSTOP and SIGKILL of its pod."""
    uid = pod["metadata"]["uid"].replace("-", "[-_]")  # systemd writes it with underscores
    processes = f"$(grep -lsE '{uid}' /proc/[0-9]*/cgroup | cut -d/ -f3)"
    script = f"for p in {processes}; do grep -qs pause /proc/$p/cmdline || kill -{signal} $p || true; done"  # p may end
    spec = {"nodeName": pod["spec"]["nodeName"], "hostPID": True, "securityContext": {"runAsUser": 0}}
    options = ["--overrides", json.dumps({"apiVersion": "v1", "spec": spec}), "--restart", "Never", "--rm", "--attach"]
    options += ["--image", pod["spec"]["containers"][0]["image"], "--command", "--", "sh", "-c", script]
    # in the namespace `default`: Pod Security rejects hostPID in the namespace of the lab
    kubectl("run", f"send-{signal.lower()}", *options, namespace="default")


def namespace_exists() -> bool:
    return kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") != ""


@contextlib.contextmanager
def own_namespace() -> Iterator[None]:
    """The namespace does not exist before the block and after it."""
    assert not namespace_exists(), f"the tests need the name {NAMESPACE} of an existing namespace: does a run.sh run?"
    try:
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")


@contextlib.contextmanager
def deployed(lab: Path, folder: Path, **variables: str) -> Iterator[Script]:
    """Runs `./run.sh minikube --keep` after an earlier run that left its namespace, and ends it with Ctrl-C."""
    with own_namespace():
        kubectl("create", "namespace", NAMESPACE)
        kubectl("label", "namespace", NAMESPACE, f"made-by={project(lab).name}")
        script = Script(folder, f"{lab}/run.sh", "minikube", "--keep", environment=without(**variables))
        try:
            script.wait_for_output("kept at ")
            yield script
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                script.interrupt()
            script.wait_for_exit()


def assert_deployed_and_smoke_tested(output: str) -> None:
    """The output of deployed(). The requests with `curl -i` are misses, hits, and misses without Redis."""
    assert re.findall(r"^== (.+)$", output, re.MULTILINE) == ["build", "start", "wait", "smoke test"]
    assert f"deleting the namespace {NAMESPACE} of an earlier run" in output
    assert "through the NodePort, which distributes the connections" in output
    assert [hits > "0" for hits in re.findall(r"^x-cache-hits: (\d)", output, re.M)] == [False, True, False]


def predict(url: str, body: bytes = BLOCK_GROUP) -> tuple[int, str]:
    """The status and the number of cache hits."""
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=240)) as connection:
        connection.request("POST", "/predict", body, {"Connection": "close"})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers.get("x-cache-hits", "")


@contextlib.contextmanager
def load(lab: Path, folder: Path, seconds: int = 60, **settings: object) -> Iterator[dict[str, int]]:
    """Sends requests for that time, and until 12 s after the block. The result counts failed and unsent requests."""
    summary, log, result = folder / "summary.json", folder / "k6.log", dict[str, int]()
    script, rate = ("../load.js", 40) if lab == FINAL else ("bench/load.js", 100)
    k6 = [str(Path(sys.executable).with_name("k6")), "run", "--no-usage-report", f"--summary-export={summary}", script]
    for name, value in (settings | {"RATE": rate, "SECONDS": 300, "DURATION": "300s"}).items():
        k6 += ["--env", f"{name}={value}"]
    with log.open("w") as output:
        process = subprocess.Popen(k6, cwd=project(lab), stdout=output, stderr=output)
    try:
        until(lambda: process.poll() is not None or bool(re.search(r"[1-9]\d* complete", log.read_text())), "k6 starts")
        end = time.monotonic() + seconds + 2
        yield result
        time.sleep(max(end - time.monotonic(), 12))
        assert process.poll() is None, f"k6 ended before the block: {log.read_text()}"
        process.terminate()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    print(log.read_text())
    metrics = json.loads(summary.read_text())["metrics"]
    result["unsent"] = metrics.get("dropped_iterations", {"count": 0})["count"]  # the service or machine is too slow
    result["failed"] = metrics.get("failed", metrics["http_req_failed"])["passes"]
    assert metrics["http_reqs"]["count"] + result["unsent"] >= seconds * rate
