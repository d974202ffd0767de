"""A cluster to try a lab on: kubectl, the lab in a namespace of the tests' own, and k6's steady load on it."""

import contextlib
import csv
import functools
import json
import os
import re
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

CONTEXT = "minikube"  # always named: the user's current one may be production
NAMESPACE = "ml-systems-tests"
LONGEST = 300  # seconds of load
K6 = shutil.which("k6", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@functools.cache
def lacking() -> str:
    """What the machine lacks for a test on a cluster, or nothing."""
    for tool in ("kubectl", "minikube", "docker"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if K6 is None:
        return "k6 is not installed"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        return "Docker is not running"
    nodes = ["kubectl", "--context", CONTEXT, "--request-timeout", "10s", "get", "nodes"]
    if subprocess.run(nodes, capture_output=True, check=False).returncode != 0:
        return f"no cluster answers as the context {CONTEXT}"
    return ""


def run(*command: str, given: str | None = None, timeout: float = 300) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def kubectl(*words: str, given: str | None = None, namespace: str = NAMESPACE) -> str:
    return run("kubectl", "--context", CONTEXT, "--namespace", namespace, *words, given=given)


def found(*words: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """What `kubectl get` finds."""
    items: list[dict[str, Any]] = json.loads(kubectl("get", *words, "--output", "json", namespace=namespace))["items"]
    return items


def pods(name: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    return found("pods", "--selector", f"app.kubernetes.io/name={name}", namespace=namespace)


def nodes() -> list[str]:
    return sorted(node["metadata"]["name"] for node in found("nodes"))


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{seconds} s, and not {what}"
        time.sleep(0.2)


def signalled(pod: dict[str, Any], image: str, signal: str) -> float:
    """Sends a signal to all processes of a pod, and tells the Unix time of it.

    In the pod itself nobody can: the kernel keeps a container's first process from its own SIGSTOP and SIGKILL.
    """
    some = f"for p in $(left); do kill -{signal} $p 2>/dev/null && some=yes; done"
    return on_node(pod, image, f'{some}; [ -n "$some" ] && date +%s.%N')


def left(pod: dict[str, Any], image: str) -> float:
    """Waits until no process of a pod is left, and tells the Unix time of it. The API forgets a pod that is deleted by
    force at once, and its node kills it some seconds later."""
    return on_node(pod, image, 'while [ -n "$(left)" ]; do sleep 0.1; done; date +%s.%N')


def on_node(pod: dict[str, Any], image: str, script: str) -> float:
    """The time that a script prints which runs on the pod's node, in a pod that sees its processes: those that `left`
    lists."""
    uid, name = pod["metadata"]["uid"], f"look-{pod['metadata']['name']}"
    which = f"grep -lsE '{uid}|{uid.replace('-', '_')}' /proc/[0-9]*/cgroup | cut -d/ -f3"  # as systemd writes it, too
    its = f"left() {{ for p in $({which}); do grep -qs pause /proc/$p/cmdline || echo $p; done; }}; "
    spec = {"nodeName": pod["spec"]["nodeName"], "hostPID": True}
    words = ["--image", image, "--restart", "Never", "--overrides", json.dumps({"apiVersion": "v1", "spec": spec})]
    try:  # not in the namespace of the lab: Pod Security would refuse it
        kubectl("run", name, *words, "--command", "--", "sh", "-c", its + script, namespace="default")
        kubectl(
            "wait", "pod", name, "--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "60s", namespace="default"
        )

        times: list[str] = []

        def read_log() -> list[str]:  # on a busy node it may contain an error of the node, also after a good read
            times.extend(re.findall(r"\A\d+\.\d+\Z", kubectl("logs", name, namespace="default").strip()))
            return times

        until(read_log, "the time in the log", 30)
        return float(times[0])
    finally:
        kubectl("delete", "pod", name, "--ignore-not-found", "--now", "--wait=false", namespace="default")


def manifests(lab: str) -> list[Manifest]:
    """A mix of manifests.py, with a free node port, and labels that tell its pods from those of a student's run."""
    text = json.dumps(rendered(lab)).replace('"housing"', f'"{NAMESPACE}"')
    changed: list[Manifest] = json.loads(text.replace('"namespace": "w255"', f'"namespace": "{NAMESPACE}"'))
    for manifest in changed:
        for port in manifest["spec"]["ports"] if manifest["kind"] == "Service" else ():
            port.pop("nodePort", None)
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = NAMESPACE
    return changed


def image(manifests: list[Manifest], name: str) -> str:
    deployment = next(each for each in manifests if each["kind"] == "Deployment" and each["metadata"]["name"] == name)
    found: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


@functools.cache  # what is loaded stays; no test makes another of the same name
def load_image(name: str) -> None:
    run("minikube", "image", "load", name)


@contextlib.contextmanager
def deployed(lab: str) -> Iterator[str]:
    """The URL of a lab whose pods are ready."""
    applied = manifests(lab)
    run("docker", "build", "--tag", image(applied, "api"), str(project(ROOT / lab.split()[0])), timeout=900)
    load_image(image(applied, "api"))
    if subprocess.run(["docker", "image", "inspect", image(applied, "redis")], capture_output=True).returncode == 0:
        load_image(image(applied, "redis"))  # else the cluster pulls it
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")
    try:
        first = [manifest for manifest in applied if manifest["kind"] == "Namespace"]
        for part in (first, [manifest for manifest in applied if manifest not in first]):
            kubectl("apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": part}))
        for name in ("redis", "api"):
            kubectl("rollout", "status", f"deployment/{name}", "--timeout", "240s")
        port = kubectl("get", "service", "api", "--output", "jsonpath={.spec.ports[0].nodePort}")
        url = f"http://{run('minikube', 'ip').strip()}:{port}"
        until(lambda: answers(url), f"an answer at {url}", 30)
        yield url
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--timeout", "120s")


def answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(f"{url}/health", timeout=5).status == 200)  # noqa: S310
    return False


class Load:
    """A run of a script of k6 in the background, and after its end what it found: (Unix time, value) by metric."""

    def __init__(self, lab: str, url: str, seconds: int, folder: Path, script: str) -> None:
        environment = os.environ | {"K6_CSV_TIME_FORMAT": "unix_milli", "K6_NO_USAGE_REPORT": "true"}
        self._csv, self._log = folder / "samples.csv", folder / "k6.log"
        command = [str(K6), "run", "--quiet", "--no-color", "--out", f"csv={self._csv}", script]
        for setting in (f"URL={url}", f"SECONDS={seconds}"):
            command += ["--env", setting]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, cwd=project(ROOT / lab), env=environment, stdout=log, stderr=log)
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def runs(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.wait(timeout=300)
        # 99: requests failed, or could not be sent; 105: it was stopped
        assert self._process.returncode in (0, 99, 105), self.log
        with self._csv.open() as lines:
            for row in csv.DictReader(lines):
                self.samples[row["metric_name"]].append((int(row["timestamp"]) / 1000, float(row["metric_value"])))
        assert "dropped_iterations" not in self.samples, f"this machine is too slow for the load: {self.log}"

    def end(self) -> None:
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
        return [at for at, failed in self.samples["failed"] if failed]


@contextlib.contextmanager
def load(lab: str, url: str, least: int, folder: Path, script: str = "bench/load.js") -> Iterator[Load]:
    """The load, from its first request on, for `least` seconds and until 12 s after what is done under it: a request is
    given up after 10, and should be counted. What is done may take as long as a busy machine needs, up to LONGEST."""
    under = Load(lab, url, LONGEST, folder, script)
    try:
        until(lambda: under._csv.exists() and under._csv.stat().st_size > 10_000, "k6 started", 60)
        began = time.monotonic()
        yield under
        assert under.runs(), f"what is done under the load took longer than its {LONGEST} s"
        end = max(began + least, time.monotonic() + 12)
        until(lambda: time.monotonic() > end or not under.runs(), "over", LONGEST)
        under.stop()
        under.wait()
    finally:
        under.end()
