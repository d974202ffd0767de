"""What more pods bring the final project, and how the autoscaler asks for them: `.venv/bin/python -m bench.cluster`.

On the cluster that kubectl's context minikube is, with metrics (`minikube start --cni=calico --addons=metrics-server`);
half an hour. Each pod is held to a quarter of a core, or k6 and four of them would want more than a laptop has. SECONDS
(60) of a run and ROUNDS (3) can be set. The namespace w255 is made for it, and deleted.
"""

import contextlib
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
OVER = 1.75  # what one pod can do: four are then used by less than half, and three by more
STEP = 5  # seconds

run = runner(FINAL.parent)


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
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        return (
            f"there is a namespace {NAMESPACE}: kubectl --context minikube delete namespace {NAMESPACE}, if it is yours"
        )
    return ""


@contextlib.contextmanager
def deployed() -> Iterator[str]:
    """Its URL, as the nodes have it."""
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
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")


def there() -> dict[str, float]:
    """The pods that take requests, and those that should."""
    ready, wanted = kubectl(
        "get", "deployment", "api", "--output", "jsonpath={.status.readyReplicas} {.spec.replicas}"
    ).split(" ")
    return {"ready": float(ready or 0), "wanted": float(wanted)}


def scale(count: int) -> None:
    """Until so many take requests, and the others are gone."""

    def done() -> bool:
        pods = kubectl("get", "pods", "--selector", "app.kubernetes.io/name=api", "--output", "name")
        return len(pods.splitlines()) == count == there()["ready"]

    kubectl("scale", "deployment/api", "--replicas", count)
    wait_for(done, f"{count} pods", 180)


def pods(url: str) -> float:
    """As many as are asked for, in rounds. Returns the requests/s of one."""
    kubectl("delete", "hpa", "api")
    rates: list[float] = []
    for turn in range(1, ROUNDS + 1):
        for count in PODS:
            scale(count)
            found = run(f"pods-{count}-{turn}", url, one=False, CACHE_RATE="0", CONNECTIONS="new")
            rates += [found["requests_per_second"]] if count == 1 else []
    return median(rates)


def autoscaler(url: str, capacity: float) -> None:
    """From one pod to four, and back."""
    scale(1)
    time.sleep(60)  # what is measured of its CPU is then of a pod at rest
    kubectl("apply", "--kustomize", QUARTER)
    load = {"SHAPE": "step", "RATE": str(round(OVER * capacity)), "WAITING": "1000"}
    run("autoscaler", url, 480, Timeline(there, STEP), one=False, CACHE_RATE="0", CONNECTIONS="new", **load)


def main() -> None:
    if missing := lacking():
        sys.exit(missing)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the namespace is deleted then, too
    try:
        with deployed() as url:
            autoscaler(url, pods(url))
    except KeyboardInterrupt:
        sys.exit(130)
    except (RuntimeError, TimeoutError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
