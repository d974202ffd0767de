"""A lab on a real cluster: kubectl, a namespace for the tests, and a constant load from k6."""

import contextlib
import csv
import functools
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from manifests import Manifest, rendered
from repository import ROOT, project

CONTEXT = "minikube"  # always named: the current context may be production
NAMESPACE = "ml-systems-tests"
MAX_LOAD_SECONDS = 300
K6 = shutil.which("k6", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@functools.cache
def missing_requirement() -> str:
    """What this machine lacks for a test on a cluster, or an empty string."""
    for tool in ("kubectl", "minikube", "docker"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if K6 is None:
        return "k6 is not installed"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        return "Docker is not running"
    nodes = ["kubectl", "--context", CONTEXT, "--request-timeout", "10s", "get", "nodes"]
    if subprocess.run(nodes, capture_output=True, check=False).returncode != 0:
        return f"no cluster responds in the context {CONTEXT}"
    return ""


def run(*command: str, stdin: str | None = None, timeout: float = 300) -> str:
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stdout}{result.stderr}"
    return result.stdout


def kubectl(*arguments: str, stdin: str | None = None, namespace: str = NAMESPACE) -> str:
    return run("kubectl", "--context", CONTEXT, "--namespace", namespace, *arguments, stdin=stdin)


def objects(*arguments: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """The objects that `kubectl get` returns."""
    output = kubectl("get", *arguments, "--output", "json", namespace=namespace)
    items: list[dict[str, Any]] = json.loads(output)["items"]
    return items


def pods(name: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    return objects("pods", "--selector", f"app.kubernetes.io/name={name}", namespace=namespace)


def nodes() -> list[str]:
    return sorted(node["metadata"]["name"] for node in objects("nodes"))


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timed out after {seconds} s: {what}"
        time.sleep(0.2)


def send_signal(pod: dict[str, Any], image: str, signal: str) -> float:
    """Sends a signal to all processes of a pod, from its node. Returns the Unix time.

    A process in the pod cannot do it: the kernel protects a container's first process from its own SIGSTOP and SIGKILL.
    """
    script = f"for p in $(processes); do kill -{signal} $p 2>/dev/null && sent=yes; done"
    return run_on_node(pod, image, f'{script}; [ -n "$sent" ] && date +%s.%N')


def wait_for_processes_to_end(pod: dict[str, Any], image: str) -> float:
    """Returns the Unix time at which a pod has no process. After a forced deletion the API reports no pod at once, and
    the kubelet kills its processes some seconds later."""
    return run_on_node(pod, image, 'while [ -n "$(processes)" ]; do sleep 0.1; done; date +%s.%N')


def run_on_node(pod: dict[str, Any], image: str, script: str) -> float:
    """Runs a script in a second pod on the pod's node, where `processes` lists the pod's processes. Returns the number
    that the script prints."""
    uid, name = pod["metadata"]["uid"], f"look-{pod['metadata']['name']}"
    pattern = f"{uid}|{uid.replace('-', '_')}"  # systemd writes it with underscores
    ids = f"grep -lsE '{pattern}' /proc/[0-9]*/cgroup | cut -d/ -f3"
    function = f"processes() {{ for p in $({ids}); do grep -qs pause /proc/$p/cmdline || echo $p; done; }}; "
    spec = {"nodeName": pod["spec"]["nodeName"], "hostPID": True}
    options = ["--image", image, "--restart", "Never", "--overrides", json.dumps({"apiVersion": "v1", "spec": spec})]
    try:  # in the namespace `default`: Pod Security rejects hostPID in the namespace of the lab
        shell = ["--command", "--", "sh", "-c", f"{function}{{ {script}; }} >/dev/termination-log"]
        kubectl("run", name, *options, *shell, namespace="default")
        succeeded = ["--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "60s"]
        kubectl("wait", "pod", name, *succeeded, namespace="default")
        # not from the log, which a busy node may delete before it is read
        message = "jsonpath={.status.containerStatuses[0].state.terminated.message}"
        return float(kubectl("get", "pod", name, "--output", message, namespace="default"))
    finally:
        kubectl("delete", "pod", name, "--ignore-not-found", "--now", "--wait=false", namespace="default")


def manifests(lab: str) -> list[Manifest]:
    """A mix of manifests.py with a free node port, and with labels that no pod of a student's run has."""
    text = json.dumps(rendered(lab)).replace('"housing"', f'"{NAMESPACE}"')
    changed: list[Manifest] = json.loads(text.replace('"namespace": "w255"', f'"namespace": "{NAMESPACE}"'))
    for manifest in changed:
        for port in manifest["spec"]["ports"] if manifest["kind"] == "Service" else ():
            port.pop("nodePort", None)
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = NAMESPACE
    return changed


def container(manifests: list[Manifest], name: str) -> Manifest:
    """The only container of a Deployment's pods."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == name:
            (only,) = manifest["spec"]["template"]["spec"]["containers"]
            assert isinstance(only, dict)
            return only
    raise KeyError(name)


def image(manifests: list[Manifest], name: str) -> str:
    return str(container(manifests, name)["image"])


@functools.cache  # loaded images stay in the cluster; no test builds another image with the same name
def load_image(name: str) -> None:
    run("minikube", "image", "load", name)


@contextlib.contextmanager
def deployed(lab: str) -> Iterator[str]:
    """Builds and deploys a lab. Yields its URL when its pods are ready."""
    applied = manifests(lab)
    run("docker", "build", "--tag", image(applied, "api"), str(project(ROOT / lab.split()[0])), timeout=900)
    load_image(image(applied, "api"))
    if subprocess.run(["docker", "image", "inspect", image(applied, "redis")], capture_output=True).returncode == 0:
        load_image(image(applied, "redis"))  # otherwise the cluster pulls it
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")
    try:
        first = [manifest for manifest in applied if manifest["kind"] == "Namespace"]
        for part in (first, [manifest for manifest in applied if manifest not in first]):
            kubectl("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": part}))
        for name in ("redis", "api"):
            kubectl("rollout", "status", f"deployment/{name}", "--timeout", "240s")
        port = kubectl("get", "service", "api", "--output", "jsonpath={.spec.ports[0].nodePort}")
        url = f"http://{run('minikube', 'ip').strip()}:{port}"
        wait_until(lambda: responds(url), f"a response from {url}", 30)
        yield url
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--timeout", "120s")


def responds(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(f"{url}/health", timeout=5).status == 200)  # noqa: S310
    return False


class Load:
    """A run of a k6 script in the background. After its end, `samples` has (Unix time, value) by metric."""

    def __init__(self, lab: str, url: str, seconds: int, folder: Path, script: str) -> None:
        environment = os.environ | {"K6_CSV_TIME_FORMAT": "unix_milli", "K6_NO_USAGE_REPORT": "true"}
        self._csv, self._log = folder / "samples.csv", folder / "k6.log"
        command = [str(K6), "run", "--quiet", "--no-color", "--out", f"csv={self._csv}", script]
        for setting in (f"URL={url}", f"SECONDS={seconds}"):
            command += ["--env", setting]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, cwd=project(ROOT / lab), env=environment, stdout=log, stderr=log)
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def has_started(self) -> bool:
        return self._csv.exists() and self._csv.stat().st_size > 10_000

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=300)
        # 99: requests failed or were dropped; 105: it was stopped
        assert self._process.returncode in (0, 99, 105), self.log
        with self._csv.open() as lines:
            for row in csv.DictReader(lines):
                self.samples[row["metric_name"]].append((int(row["timestamp"]) / 1000, float(row["metric_value"])))
        assert "dropped_iterations" not in self.samples, f"this machine is too slow for the load: {self.log}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def requests(self) -> int:
        return len(self.samples["failed"])

    @property
    def failures(self) -> list[float]:
        """Unix times of the failed requests."""
        return [at for at, failed in self.samples["failed"] if failed]


@contextlib.contextmanager
def load(lab: str, url: str, min_seconds: int, folder: Path, script: str = "bench/load.js") -> Iterator[Load]:
    """Runs the load during the block, for at least min_seconds, and until 12 s after the block: a request times out
    after 10 s and must be counted. On a busy machine the block may take up to MAX_LOAD_SECONDS."""
    running = Load(lab, url, MAX_LOAD_SECONDS, folder, script)
    try:
        wait_until(running.has_started, "k6 starts", 60)
        start = time.monotonic()
        yield running
        assert running.is_running(), f"the block took longer than the {MAX_LOAD_SECONDS} s of the load"
        end = max(start + min_seconds, time.monotonic() + 12)
        wait_until(lambda: time.monotonic() > end or not running.is_running(), "the end of the load", MAX_LOAD_SECONDS)
        running.stop()
        print(f"{running.requests} requests, {len(running.failures)} failed")
    finally:
        running.kill()
