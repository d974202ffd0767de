"""What more pods bring the final project, and how the autoscaler asks for them: `.venv/bin/python -m bench.cluster`.

In half an hour, on the cluster that kubectl's context minikube is, with metrics (`minikube start --cni=calico
--addons=metrics-server`). Each pod is held to a quarter of a core, or k6 and four of them would want more than a laptop
has. SECONDS (60) of a run and ROUNDS (3) can be set. The namespace w255 is made for it, and deleted.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from services import FINAL, HERE, answers, wait_for
from timeline import Timeline

from .run import ROUNDS, runner

IMAGE, REDIS, NAMESPACE, PORT = "finalproject:6.0.0", "redis:8.2-bookworm", "w255", 30086  # as the overlay dev has them
QUARTER = HERE / ".k8s" / "quarter"
PODS = (1, 2, 3, 4)
OVER = 1.75  # what one pod can do; at half of what they ask for, four pods are then what the autoscaler wants
STEP = 5  # seconds
MISSES = {"CACHE_RATE": "0", "CONNECTIONS": "new"}

run = runner(FINAL.parent)
os.environ["MINIKUBE_PROFILE"] = "minikube"  # the cluster that kubectl's context minikube is


def works(*words: str) -> bool:
    return subprocess.run(words, capture_output=True).returncode == 0  # noqa: S603


def command(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.strip()


def kubectl(*words: object) -> str:
    return command("kubectl", "--context", "minikube", "--namespace", NAMESPACE, *words)


def lacking() -> str:
    """What the machine lacks, or nothing."""
    for tool in ("docker", "kubectl", "minikube"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if not works("docker", "info"):
        return "Docker is not running"
    if not works("minikube", "status"):
        return "minikube is not running: minikube start --cni=calico --addons=metrics-server"
    if not works("kubectl", "--context", "minikube", "top", "node"):
        return "minikube has no metrics (yet): minikube addons enable metrics-server"
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        return (
            f"there is a namespace {NAMESPACE}: kubectl --context minikube delete namespace {NAMESPACE}, if it is yours"
        )
    return ""


@contextlib.contextmanager
def deployed() -> Iterator[str]:
    """Its URL, as the nodes have it."""
    print(f"{IMAGE} goes to the namespace {NAMESPACE}", flush=True)
    command("docker", "build", "--quiet", "--tag", IMAGE, FINAL)
    for image in (IMAGE, REDIS):  # what Docker has here, the cluster need not pull
        if works("docker", "image", "inspect", image):
            command("minikube", "image", "load", image)
    try:
        kubectl("apply", "--filename", FINAL / "infra" / "namespace.yaml")
        kubectl("apply", "--filename", FINAL / "infra")
        kubectl("apply", "--kustomize", QUARTER)
        for name in ("redis", "api"):
            kubectl("rollout", "status", f"deployment/{name}", "--timeout", "300s")
        url = f"http://{command('minikube', 'ip')}:{PORT}"
        wait_for(lambda: answers(f"{url}/health/ready"), url)
        yield url
    finally:
        print(f"the namespace {NAMESPACE} is deleted, in a minute or so", flush=True)
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")


def version() -> str:
    found: str = json.loads(kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
    return found


def replicas() -> dict[str, float]:
    """The pods that should take requests, and those that do; nothing when the cluster does not say."""
    with contextlib.suppress(RuntimeError):
        fields = "jsonpath={.spec.replicas} {.status.readyReplicas}"
        said = kubectl("get", "deployment", "api", "--output", fields, "--request-timeout", "10s")
        wanted, _, ready = said.partition(" ")
        return {"wanted": float(wanted), "ready": float(ready or 0)}
    return {}


def scale(count: int) -> None:
    """Until so many take requests, and the others are gone."""

    def done() -> bool:
        there = kubectl("get", "pods", "--selector", "app.kubernetes.io/name=api", "--output", "name")
        return len(there.splitlines()) == count == replicas().get("ready")

    kubectl("scale", "deployment/api", "--replicas", count)
    wait_for(done, f"{count} pods", 180)


def pods(url: str) -> float:
    """As many as are asked for, in rounds. Returns the requests/s of one."""
    kubectl("delete", "hpa", "api")
    rates: list[float] = []
    for turn in range(1, ROUNDS + 1):
        for count in PODS:
            scale(count)
            found = run(f"pods-{count}-{turn}", url, kubernetes=version(), **MISSES)
            rates += [found["requests_per_second"]] if count == 1 else []
    return median(rates)


def autoscaler(url: str, capacity: float) -> None:
    """From one pod to four, and back."""
    scale(1)
    time.sleep(60)  # what is measured of its CPU is then of a pod at rest
    kubectl("apply", "--kustomize", QUARTER)
    load = {"SHAPE": "step", "RATE": str(round(OVER * capacity)), "WAITING": "4000"}
    run("autoscaler", url, 480, Timeline(replicas, STEP), version(), **MISSES, **load)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the namespace is deleted then, too
    try:
        if missing := lacking():
            sys.exit(missing)
        with deployed() as url:
            autoscaler(url, pods(url))
    except KeyboardInterrupt:
        sys.exit(130)
    except (RuntimeError, TimeoutError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
