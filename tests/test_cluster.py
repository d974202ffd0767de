"""Two labs on a real cluster: updates and failures under load, the memory limit, and access to Redis."""

import importlib
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cluster
from cluster import kubectl, load, pods, predict, ready_pods
from repository import FINAL, ROOT, name, project
from scripts import Script, until

pytestmark = cluster.needs_cluster
LAB = ROOT / "lab_3"
MISS, HIT = (200, "0"), (200, "1")


@pytest.fixture(scope="module", params=[LAB, FINAL], ids=name)
def lab(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


only_lab_3 = pytest.mark.parametrize("lab", [LAB], ids=name, indirect=True)


@pytest.fixture(scope="module")
def script(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    with cluster.deployed(lab, tmp_path_factory.mktemp("run")) as script:
        yield script


@pytest.fixture
def url(script: Script) -> str:
    """Every test starts with all pods ready, whatever the test before it did."""
    kubectl("scale", "deployment/redis", "--replicas", "1")
    kubectl("scale", "deployment/api", "--replicas", "3")
    kubectl("rollout", "status", "deployment/redis", "--timeout", "90s")
    wait_for_rollout()
    return script.stdout.split("kept at ")[1].split()[0]


def wait_for_rollout() -> None:
    """Waits until the new pods are ready and the old ones have ended."""
    kubectl("rollout", "status", "deployment/api", "--timeout", "200s")
    until(lambda: len(pods("api")) == len(ready_pods()), "old pods still run")


def restarts() -> int:
    return sum(status["restartCount"] for pod in pods("api") for status in pod["status"]["containerStatuses"])


def test_run_sh_replaces_an_earlier_run_and_smoke_tests_the_service(script: Script) -> None:
    cluster.assert_deployed_and_smoke_tested(script.stdout)


def test_rolling_update_loses_no_request(lab: Path, url: str, tmp_path: Path) -> None:
    next_image = cluster.load_next_image()
    with load(lab, tmp_path, URL=url) as result:
        kubectl("set", "image", "deployment/api", f"api={next_image}")
        wait_for_rollout()
    assert set(ready_pods().values()) == {next_image}
    assert result == {"failed": 0, "unsent": 0}


def test_deleting_the_pods_one_after_another_loses_no_request(lab: Path, url: str, tmp_path: Path) -> None:
    old = set(ready_pods())
    with load(lab, tmp_path, URL=url) as result:
        for pod in old:
            kubectl("delete", "pod", pod)  # returns when the pod has ended
            kubectl("rollout", "status", "deployment/api", "--timeout", "90s")
    assert not set(ready_pods()) & old
    assert result == {"failed": 0, "unsent": 0}


@only_lab_3
def test_draining_a_node_loses_no_request(url: str, tmp_path: Path) -> None:
    nodes = kubectl("get", "nodes", "--output", "jsonpath={.items[*].metadata.name}").split()
    if len(nodes) < 2:
        pytest.skip("needs a cluster of two nodes: minikube start --nodes 2 --cni=calico")
    node = max(nodes)  # the requests go to the first node, which also runs the control plane
    assert node in [pod["spec"]["nodeName"] for pod in pods("api")]
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "200s"]
    try:
        with load(LAB, tmp_path, URL=url) as result:  # the selector spares the pods of other people
            kubectl("drain", node, "--pod-selector", "app.kubernetes.io/instance=housing", *options)
    finally:
        kubectl("uncordon", node)
    assert node not in [pod["spec"]["nodeName"] for pod in pods("api")]
    assert result == {"failed": 0, "unsent": 0}


@only_lab_3
def test_killed_pod_loses_only_its_requests_in_flight(url: str, tmp_path: Path) -> None:
    before = restarts()
    with load(LAB, tmp_path, 18, URL=url) as result:
        start = time.time()
        cluster.send_signal(pods("api")[0], "KILL")
        until(lambda: restarts() > before, "the container restarts")
        end = time.time() + 2
    assert (result["unsent"], result["failed"] < 34 * (end - start)) == (0, True)  # a third of 100 requests/s


@only_lab_3
def test_redis_killed_restarted_hung_and_continued_loses_no_request(url: str, tmp_path: Path) -> None:
    with load(LAB, tmp_path, URL=url) as result:
        until(lambda: predict(url) == HIT, "a hit at the start")

        kubectl("scale", "deployment/redis", "--replicas", "0")
        kubectl("delete", "pod", "--selector", "app.kubernetes.io/name=redis", "--grace-period=0", "--force")
        until(lambda: predict(url) == MISS, "a miss while Redis is killed")
        time.sleep(5)
        kubectl("scale", "deployment/redis", "--replicas", "1")
        kubectl("rollout", "status", "deployment/redis", "--timeout", "60s")
        until(lambda: predict(url) == HIT, "a hit after Redis is restarted")

        (pod,) = pods("redis")
        cluster.send_signal(pod, "STOP")
        until(lambda: predict(url) == MISS, "a miss while Redis hangs")
        time.sleep(5)
        cluster.send_signal(pod, "CONT")
        until(lambda: predict(url) == HIT, "a hit after Redis continues")
    assert result == {"failed": 0, "unsent": 0}


def block_groups(seed: int) -> bytes:
    """A valid body of the maximum size: 10,000 block groups with long numbers."""
    digits = random.Random(seed)  # noqa: S311
    names = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")
    groups = [",".join(f'"{name}":7.{digits.getrandbits(110):034}' for name in names) for _ in range(10_000)]
    return b'{"data":[' + ",".join(f"{{{group}}}" for group in groups).encode() + b"]}"


def texts(seed: int) -> bytes:
    """A valid body of the maximum size: 1,000 texts, of which each character is a token."""
    return json.dumps({"text": [f"{seed} {number}".ljust(4175, "!") for number in range(1000)]}).encode()


def test_memory_limit_suffices_for_the_largest_bodies_of_16_clients(
    lab: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project(LAB))
    hostile = importlib.import_module("bench.hostile")
    invalid: list[bytes] = [*hostile.BODIES.values(), hostile.repeated(b"[" * 100 + b"]" * 100)]
    # A request that fails must release its body at once. The garbage collector runs too late for that.
    invalid.append(b'{"data":["' + "\U0001d11e".encode().rjust(hostile.LIMIT - 10))  # not complete
    invalid.append(b'{"data":["' + b"\xff".rjust(hostile.LIMIT - 10))  # not UTF-8
    known, new, items, shed = block_groups(0), [block_groups(seed) for seed in range(1, 17)], 10_000, set[int]()
    if lab == FINAL:
        invalid = [body.replace(b'"data"', b'"text"') for body in invalid]
        known, new = json.dumps({"text": list(map(str, range(1000)))}).encode(), [texts(seed) for seed in range(16)]
        items, shed = 1000, {429, 503}

    kubectl("scale", "deployment/api", "--replicas", "1")
    wait_for_rollout()
    until(lambda: predict(url, known) == (200, str(items)), "the cache is in use")
    before = restarts()
    with ThreadPoolExecutor(16) as clients:

        def send(*bodies: bytes) -> set[tuple[int, str]]:
            return set(clients.map(predict, [url] * len(bodies), bodies))

        valid = send(*new) | send(*[known] * 16)
        assert (200, str(items)) in valid
        assert {status for status, _ in valid} - shed == {200}
        for bodies in [*([body] * 32 for body in invalid), [*invalid, *new]]:
            assert {status for status, _ in send(*bodies)} <= {200, 400, 408, 413, 422} | shed
    assert restarts() == before, "the kernel killed the service, which exceeded its memory limit"
    print("peak memory", kubectl("exec", "deployment/api", "--", "grep", "VmHWM", "/proc/1/status"))


@only_lab_3
def test_only_pods_of_the_api_reach_redis(url: str) -> None:
    """Not a pod with another label, nor one of a namespace that has no policy for outgoing connections."""

    def connects(pod: str, service: str, namespace: str = cluster.NAMESPACE) -> bool:
        address = kubectl("get", "service", service, "--output", "jsonpath='{.spec.clusterIP}', {.spec.ports[0].port}")
        script = f"import socket\ntry: socket.create_connection(({address}), 3)\nexcept OSError as error: print(error)"
        return kubectl("exec", pod, "--", "python", "-c", script, namespace=namespace) == ""

    (pod, image), *_ = ready_pods().items()
    assert connects(pod, "redis")
    kubectl("run", "other", "--image", image, "--command", "--", "sleep", "600", namespace="default")
    try:
        kubectl("label", "pod", pod, "app.kubernetes.io/name=other", "--overwrite")
        until(lambda: not connects(pod, "redis"), "a pod of the same namespace connects to Redis")
        kubectl("wait", "pod", "other", "--for", "condition=Ready", "--timeout", "60s", namespace="default")
        assert connects("other", "api", "default")
        assert not connects("other", "redis", "default")
    finally:
        kubectl("delete", "pod", pod, "--now")
        kubectl("delete", "pod", "other", "--now", namespace="default")
