"""More pods, and the autoscaler, on minikube: `.venv/bin/python -m bench.cluster` (30 minutes, needs k6).

Start minikube first: minikube start --cni=calico --addons=metrics-server. Each pod has 0.25 CPUs (bench/quarter/).
1. Throughput of 1 to 4 pods in a closed workload of 48 virtual users. Each request uses a new connection: a Service
   spreads connections, not requests.
2. The autoscaler (HPA), from 1 to 4 pods and back, in an open workload of 3 steps: low, 1.75 times the capacity of 1
   pod, low. With all 4 pods, each is then at 44 % of its CPU limit.
It creates the namespace w255, and deletes it at the end. Settings: ROUNDS (3), SECONDS (60) of a run.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from . import k6
from .command import run
from .results import Result, setting
from .servers import PROJECT, MeasurementError, is_ready, wait_until

ROUNDS, SECONDS = setting("ROUNDS", 3), setting("SECONDS", 60)
NAMESPACE, QUARTER = "w255", PROJECT / "bench" / "quarter"
PODS = (1, 2, 3, 4)
FACTOR = 1.75  # the high step, as a multiple of the capacity of 1 pod
STEP_SECONDS = 5
NEW_CONNECTIONS = ("--no-connection-reuse",)


def execute(*command: object) -> str:
    process = subprocess.run([*map(str, command)], capture_output=True, text=True)  # noqa: S603
    if process.returncode:
        raise MeasurementError(f"{' '.join(map(str, command))}: {process.stderr.strip()}")
    return process.stdout.strip()


def kubectl(*arguments: object) -> str:
    return execute("kubectl", "--context", "minikube", "--namespace", NAMESPACE, *arguments)


def check_prerequisites() -> None:
    for tool in ("docker", "kubectl", "minikube"):
        if not shutil.which(tool):
            raise MeasurementError(f"{tool} is not installed")
    for command in ("docker info", "minikube status", "kubectl --context minikube top node"):
        execute(*command.split())
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        raise MeasurementError(f"the namespace {NAMESPACE} exists; delete it if it is yours")


@contextlib.contextmanager
def deployment() -> Iterator[str]:
    """The URL of the NodePort."""
    manifests = kubectl("kustomize", QUARTER) + (PROJECT / "infra/redis.yaml").read_text()
    service, *others = sorted(set(re.findall(r"image: (\S+)", manifests)), key=lambda name: "redis" in name)
    execute("docker", "build", "--quiet", "--tag", service, PROJECT)
    for image in (service, *others):
        with contextlib.suppress(MeasurementError):  # the cluster pulls what Docker does not have
            execute("docker", "image", "inspect", image)
            execute("minikube", "image", "load", image)
    try:
        kubectl("apply", "--filename", PROJECT / "infra/namespace.yaml")
        kubectl("apply", "--filename", PROJECT / "infra")
        kubectl("apply", "--kustomize", QUARTER)
        for name in ("redis", "api"):
            kubectl("rollout", "status", f"deployment/{name}", "--timeout", "300s")
        port = kubectl("get", "service", "api", "--output", "jsonpath={.spec.ports[0].nodePort}")
        url = f"http://{execute('minikube', 'ip')}:{port}"
        wait_until(lambda: is_ready(f"{url}/health/ready"), url)
        yield url
    finally:
        print(f"deletes the namespace {NAMESPACE}", file=sys.stderr, flush=True)
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")


def replicas() -> dict[str, float]:
    """The numbers of pods that the Deployment wants, and that are ready. Empty if the cluster does not respond."""
    with contextlib.suppress(MeasurementError):
        fields = "jsonpath={.spec.replicas} {.status.readyReplicas}"
        output = kubectl("get", "deployment", "api", "--output", fields, "--request-timeout", "10s")
        wanted, _, ready = output.partition(" ")
        return {"wanted": float(wanted), "ready": float(ready or 0)}
    return {}


def scale(count: int) -> None:
    """Returns when that many pods are ready, and all others are gone."""

    def is_scaled() -> bool:
        pods = kubectl("get", "pods", "--selector", "app.kubernetes.io/name=api", "--output", "name")
        return len(pods.splitlines()) == count == replicas().get("ready")

    kubectl("scale", "deployment/api", "--replicas", count)
    wait_until(is_scaled, f"{count} pods", 180)


def throughput(url: str) -> dict[str, list[dict[str, Any]]]:
    kubectl("delete", "hpa", "api")
    results: dict[str, list[dict[str, Any]]] = {str(count): [] for count in PODS}
    for number in range(ROUNDS):
        for count in PODS:
            scale(count)
            warm_up = SECONDS // 6
            samples = k6.load(url, {"VUS": 48, "DURATION": f"{warm_up + SECONDS}s"}, options=NEW_CONNECTIONS)
            summary = samples.summary(warm_up, warm_up + SECONDS)
            results[str(count)].append(summary)
            print(f"round {number + 1} of {ROUNDS}: {count} pods: {summary}", file=sys.stderr, flush=True)
    return results


def autoscaler(url: str, capacity: float) -> dict[str, Any]:
    scale(1)
    time.sleep(min(60, SECONDS))  # until the metrics describe an idle pod
    kubectl("apply", "--kustomize", QUARTER)
    high, seconds = round(FACTOR * capacity), [SECONDS, 3 * SECONDS, 4 * SECONDS]
    low = -(-high // 10)
    with k6.Probe(replicas, STEP_SECONDS / 2) as probe:
        durations = ",".join(f"{step}s" for step in seconds)
        load = {"VUS": 20 * high, "RATE": f"{low},{high},{low}", "DURATION": durations}
        samples = k6.load(url, load, options=NEW_CONNECTIONS)
    summary = samples.summary(0, sum(seconds))
    columns = samples.columns(STEP_SECONDS, probe.values)
    return {"rates": [low, high, low], "seconds": seconds, **summary, "columns": columns}


def measure(_: argparse.Namespace) -> Result:
    check_prerequisites()
    os.environ["MINIKUBE_PROFILE"] = "minikube"  # the cluster of kubectl's context minikube
    version = json.loads(kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
    with deployment() as url:
        pods = throughput(url)
        scaled = autoscaler(url, median(summary["goodput"] for summary in pods["1"]))
    return {"k6": k6.version(), "kubernetes": version, "pods": pods, "autoscaler": scaled}


if __name__ == "__main__":
    run("cluster", measure, __doc__ or "", texts=False)
