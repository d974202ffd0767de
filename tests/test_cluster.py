"""lab_3 on a real cluster: updates and failures under load, the memory limit, and access to Redis and pods."""

import http.client
import importlib
import json
import random
import re
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import cluster
from cluster import kubectl, load, pods, wait_until
from manifests import Manifest, broken, name
from repository import ROOT, project

pytestmark = pytest.mark.skipif(
    bool(cluster.missing_requirement()), reason=f"needs a cluster: {cluster.missing_requirement()}"
)

LAB = "lab_3"
REPLICAS = 3
MAX_BODY_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cluster.deployed(LAB) as url:
        yield url


def wait_for_pods(replicas: int = REPLICAS) -> None:
    """Waits until the Deployments are ready and pods of earlier versions have ended."""
    for deployment in ("redis", "api"):
        kubectl("rollout", "status", f"deployment/{deployment}", "--timeout", "200s")
    wait_until(lambda: len(pods("api")) == replicas, f"{replicas} pods: old ones still run")


@pytest.fixture(autouse=True)
def _ready(request: pytest.FixtureRequest) -> None:
    """Every test starts with all pods ready, whatever the test before it did."""
    if {"tmp_path", "namespace"} & set(request.fixturenames):  # the admission tests need no pods
        kubectl("scale", "deployment/redis", "--replicas", "1")
        kubectl("scale", "deployment/api", "--replicas", str(REPLICAS))
        wait_for_pods()


@pytest.fixture(scope="module")
def next_image() -> str:
    """The same service under another name, as a new release."""
    image = cluster.image(cluster.manifests(LAB), "api")
    cluster.run("docker", "build", "--tag", f"{image}-next", "-", stdin=f"FROM {image}\nLABEL release=next\n")
    cluster.load_image(f"{image}-next")
    return f"{image}-next"


# Planned changes


def test_rolling_update_loses_no_request(url: str, next_image: str, tmp_path: Path) -> None:
    with load(LAB, url, 62, tmp_path) as running:
        kubectl("set", "image", "deployment/api", f"api={next_image}")
        wait_for_pods()
    assert {pod["spec"]["containers"][0]["image"] for pod in pods("api")} == {next_image}
    assert running.requests >= 6000
    assert running.failures == [], running.log


def test_deleting_the_pods_one_after_another_loses_no_request(url: str, tmp_path: Path) -> None:
    old = [pod["metadata"]["name"] for pod in pods("api")]
    with load(LAB, url, 62, tmp_path) as running:
        for pod in old:
            kubectl("delete", "pod", pod)  # returns when the pod has ended
            kubectl("rollout", "status", "deployment/api", "--timeout", "90s")
    assert not {pod["metadata"]["name"] for pod in pods("api")} & set(old)
    assert running.requests >= 6000
    assert running.failures == [], running.log


def test_draining_a_node_loses_no_request(url: str, tmp_path: Path) -> None:
    if len(cluster.nodes()) < 2:
        pytest.skip("needs a cluster of two nodes: minikube start --nodes 2 --cni=calico")
    node = cluster.nodes()[-1]  # the requests go to the first node, which also runs the control plane
    wait_until(lambda: node in [pod["spec"]["nodeName"] for pod in pods("api")], f"a pod on {node}")
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "200s"]
    own_pods = ["--pod-selector", f"app.kubernetes.io/instance={cluster.NAMESPACE}"]  # other people may have pods there
    try:
        with load(LAB, url, 62, tmp_path) as running:
            kubectl("drain", node, *options, *own_pods)
    finally:
        kubectl("uncordon", node)
    assert node not in [pod["spec"]["nodeName"] for pod in pods("api")]
    assert running.requests >= 6000
    assert running.failures == [], running.log


# Failures


@pytest.mark.parametrize("how", ["--grace-period=0 --force", "SIGKILL"])
def test_killed_pod_loses_only_its_requests_in_flight(url: str, how: str, tmp_path: Path) -> None:
    pod, image = pods("api")[0], cluster.image(cluster.manifests(LAB), "redis")
    with load(LAB, url, 20, tmp_path) as running:
        if how == "SIGKILL":
            start = cluster.send_signal(pod, image, "KILL")
            wait_until(lambda: is_restarted(pod), "the container restarts", 15)
            end = time.time()
        else:
            start = time.time()
            kubectl("delete", "pod", pod["metadata"]["name"], *how.split())
            end = cluster.wait_for_processes_to_end(pod, image)
    late = [round(failure - start, 2) for failure in running.failures if failure > end + 2]
    assert late == [], running.log
    assert len(running.failures) < 34 * (end + 2 - start), running.log  # a third of 100 requests/s


def is_restarted(pod: dict[str, Any]) -> bool:
    containers = [status for other in pods("api") for status in other["status"].get("containerStatuses", ())]
    return pod["status"]["containerStatuses"][0]["containerID"] not in [
        status.get("containerID") for status in containers
    ]


def test_redis_killed_restarted_hung_and_continued_loses_no_request(url: str, tmp_path: Path) -> None:
    image = cluster.image(cluster.manifests(LAB), "redis")
    with load(LAB, url, 62, tmp_path) as running:
        wait_until(lambda: hits(url) == 1, "a hit at the start")

        kubectl("scale", "deployment/redis", "--replicas", "0")
        kubectl("delete", "pod", "--selector", "app.kubernetes.io/name=redis", "--grace-period=0", "--force")
        wait_until(lambda: hits(url) == 0, "a miss while Redis is killed")
        time.sleep(5)
        kubectl("scale", "deployment/redis", "--replicas", "1")
        kubectl("rollout", "status", "deployment/redis", "--timeout", "60s")
        wait_until(lambda: hits(url) == 1, "a hit after Redis is restarted")

        pod = pods("redis")[0]
        try:
            cluster.send_signal(pod, image, "STOP")
            wait_until(lambda: hits(url) == 0, "a miss while Redis hangs")
            time.sleep(5)
        finally:
            cluster.send_signal(pod, image, "CONT")
        wait_until(lambda: hits(url) == 1, "a hit after Redis continues")
    assert running.requests >= 6000
    assert running.failures == [], running.log


def hits(url: str) -> int:
    """Cache hits of a request that always has the same block group."""
    group = {"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322}
    group |= {"AveOccup": 2.556, "Latitude": 37.88, "Longitude": -122.23}
    request = urllib.request.Request(f"{url}/predict", json.dumps({"data": [group]}).encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return int(response.headers["x-cache-hits"])


# The memory limit


def block_groups(seed: int) -> bytes:
    """A valid body of the maximum size: 10,000 block groups with long numbers."""
    digits = random.Random(seed)  # noqa: S311
    names = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")
    groups = [",".join(f'"{name}":7.{digits.getrandbits(110):034}' for name in names) for _ in range(10_000)]
    return b'{"data":[' + ",".join(f"{{{group}}}" for group in groups).encode() + b"]}"


def post(url: str, body: bytes) -> tuple[int, str | None]:
    """The status and the number of hits."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=240)
    connection.request("POST", "/predict", body, {"Connection": "close"})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers["x-cache-hits"]


def test_memory_limit_of_a_pod_is_enough_for_the_largest_bodies_of_16_clients(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project(ROOT / LAB))
    invalid: list[bytes] = list(importlib.import_module("bench.hostile").BODIES.values())
    # A request that fails must release its body at once. The garbage collector runs too late for that.
    invalid.append(b'{"data":[{' + b",".join(b'"%040d":1.5' % number for number in range(79_999)) + b"}]}")
    invalid.append(b'{"data":["' + "\U0001d11e".encode().rjust(MAX_BODY_BYTES - 10))  # not complete
    invalid.append(b'{"data":["' + b"\xff".rjust(MAX_BODY_BYTES - 10))  # not UTF-8
    known, new = block_groups(0), [block_groups(seed) for seed in range(1, 17)]
    assert max(map(len, [known, *invalid])) <= MAX_BODY_BYTES

    kubectl("scale", "deployment/api", "--replicas", "1")
    wait_for_pods(1)
    wait_until(lambda: hits(url) == 1, "a hit")
    wait_until(lambda: post(url, known) == (200, "10000"), "hits only")
    (before,) = pods("api")[0]["status"]["containerStatuses"]  # an earlier test may have killed the process of this pod
    with ThreadPoolExecutor(16) as clients:

        def send(*bodies: bytes) -> tuple[set[int], set[str | None]]:
            statuses, counts = zip(*clients.map(post, [url] * len(bodies), bodies), strict=True)
            return set(statuses), set(counts)

        statuses, counts = send(*new)
        assert (statuses, "0" in counts) == ({200}, True)
        statuses, counts = send(*[known] * 16)
        assert (statuses, "10000" in counts) == ({200}, True)
        for body in invalid:
            assert send(*[body] * 32)[0] <= {200, 400, 408, 413, 422}
        assert send(*invalid, *new)[0] <= {200, 400, 408, 413, 422}

    (pod,) = pods("api")
    (status,) = pod["status"]["containerStatuses"]
    process = kubectl("exec", pod["metadata"]["name"], "--", "cat", "/proc/1/status")
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", process)
    limit = cluster.container(cluster.manifests(LAB), "api")["resources"]["limits"]["memory"]
    print(f"peak memory {int(peak) / 1024:.0f} MiB, limit {limit}")
    assert status["restartCount"] == before["restartCount"]


# Access


def ping_redis(pod: str, namespace: str, address: str) -> str:
    """What a pod receives from Redis at an IP address, so that DNS is not needed."""
    script = (
        f"import socket; s = socket.create_connection(('{address}', 6379), 5); s.send(b'PING\\r\\n'); print(s.recv(9))"
    )
    return kubectl(
        "exec", pod, "--", "python", "-c", f"try:\n {script}\nexcept OSError as e: print(repr(e))", namespace=namespace
    )


@pytest.mark.parametrize("namespace", [cluster.NAMESPACE, "default"])
def test_only_pods_of_the_api_reach_redis(url: str, namespace: str) -> None:
    """A pod in the same namespace, and one in a namespace that has no policy for outgoing connections."""
    address = kubectl("get", "service", "redis", "--output", "jsonpath={.spec.clusterIP}")
    other = pod_of("api") | {"metadata": {"name": "other"}}
    other["spec"]["containers"][0] = {
        key: value for key, value in other["spec"]["containers"][0].items() if "Probe" not in key
    } | {"command": ["sleep", "600"]}
    try:
        kubectl("apply", "--filename", "-", stdin=json.dumps(other), namespace=namespace)
        kubectl("wait", "pod", "other", "--for", "condition=Ready", "--timeout", "60s", namespace=namespace)
        assert "PONG" in ping_redis(pods("api")[0]["metadata"]["name"], cluster.NAMESPACE, address)
        assert "Error" in ping_redis("other", namespace, address)
        assert "PONG" in ping_redis(pods("api")[0]["metadata"]["name"], cluster.NAMESPACE, address)
    finally:
        kubectl("delete", "pod", "other", "--ignore-not-found", "--now", namespace=namespace)


def pod_of(deployment: str, without: str = "") -> Manifest:
    """A pod as a Deployment of the lab creates it, without one setting."""
    applied = cluster.manifests(LAB)
    if without:
        applied = broken(applied, f"Deployment {deployment}", f"spec.template.spec.{without}", ...)
    template = next(manifest for manifest in applied if name(manifest) == f"Deployment {deployment}")["spec"][
        "template"
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": template["spec"]}


def rejection(pod: Manifest) -> str:
    """The error of the API server for a pod, or an empty string."""
    try:
        kubectl("apply", "--dry-run=server", "--filename", "-", stdin=json.dumps(pod))
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("deployment", ["api", "redis"])
def test_pod_security_accepts_the_pods(url: str, deployment: str) -> None:
    assert rejection(pod_of(deployment)) == ""


@pytest.mark.parametrize("deployment", ["api", "redis"])
@pytest.mark.parametrize(
    "setting",
    [
        "securityContext.runAsNonRoot",
        "securityContext.seccompProfile",
        "containers.0.securityContext.allowPrivilegeEscalation",
        "containers.0.securityContext.capabilities",
    ],
)
def test_pod_security_rejects_a_pod_without_one_of_its_security_settings(
    url: str, deployment: str, setting: str
) -> None:
    error = rejection(pod_of(deployment, without=setting))
    assert 'violates PodSecurity "restricted:latest"' in error
    assert setting.split(".")[-1] in error
