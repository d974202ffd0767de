"""lab_3 on a real cluster, under 100 requests a second: no request is lost, and only the API asks Redis."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cluster
from cluster import kubectl, load, pods, until
from manifests import Manifest, broken, name

pytestmark = pytest.mark.skipif(bool(cluster.lacking()), reason=f"needs a cluster: {cluster.lacking()}")

LAB = "lab_3"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cluster.deployed(LAB) as url:
        yield url


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest) -> None:
    """Each test begins with all pods ready, whatever the one before it did."""
    if {"tmp_path", "namespace"} & set(request.fixturenames):  # admission needs no pods
        kubectl("scale", "deployment/redis", "--replicas", "1")
        for deployment in ("redis", "api"):
            kubectl("rollout", "status", f"deployment/{deployment}", "--timeout", "120s")
        until(lambda: len(pods("api")) == 3, "three pods: old ones go on")


@pytest.fixture(scope="module")
def next_image() -> str:
    """The same service under another name, as a release would be."""
    image = cluster.image(cluster.manifests(LAB), "api")
    cluster.run("docker", "build", "--tag", f"{image}-next", "-", given=f"FROM {image}\nLABEL release=next\n")
    cluster.load_image(f"{image}-next")
    return f"{image}-next"


# What may go at any time, under load


def test_a_rollout_to_a_new_image_loses_no_request(url: str, next_image: str, tmp_path: Path) -> None:
    with load(LAB, url, 62, tmp_path) as under:
        kubectl("set", "image", "deployment/api", f"api={next_image}")
        kubectl("rollout", "status", "deployment/api", "--timeout", "200s")
        until(lambda: len(pods("api")) == 3, "the old pods gone")
    assert {pod["spec"]["containers"][0]["image"] for pod in pods("api")} == {next_image}
    assert under.requests >= 6000
    assert under.failures == [], under.log


def test_pods_deleted_one_after_another_lose_no_request(url: str, tmp_path: Path) -> None:
    first = [pod["metadata"]["name"] for pod in pods("api")]
    with load(LAB, url, 62, tmp_path) as under:
        for pod in first:
            kubectl("delete", "pod", pod)  # until it is gone
            kubectl("rollout", "status", "deployment/api", "--timeout", "90s")
    assert not {pod["metadata"]["name"] for pod in pods("api")} & set(first)
    assert under.requests >= 6000
    assert under.failures == [], under.log


def test_a_drained_node_loses_no_request(url: str, tmp_path: Path) -> None:
    if len(cluster.nodes()) < 2:
        pytest.skip("needs a cluster of two nodes: minikube start --nodes 2 --cni=calico")
    node = cluster.nodes()[-1]  # the first has the control plane, and the port that is asked here
    until(lambda: node in [pod["spec"]["nodeName"] for pod in pods("api")], f"a pod on {node}")
    drain = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "200s"]
    ours = ["--pod-selector", f"app.kubernetes.io/instance={cluster.NAMESPACE}"]  # others may have something there, too
    try:
        with load(LAB, url, 62, tmp_path) as under:
            kubectl("drain", node, *drain, *ours)
    finally:
        kubectl("uncordon", node)
    assert node not in [pod["spec"]["nodeName"] for pod in pods("api")]
    assert under.requests >= 6000
    assert under.failures == [], under.log


# What is killed


@pytest.mark.parametrize("way", ["--grace-period=0 --force", "SIGKILL"])
def test_a_killed_pod_loses_what_it_had_in_hand_and_no_more(url: str, way: str, tmp_path: Path) -> None:
    pod, image = pods("api")[0], cluster.image(cluster.manifests(LAB), "redis")
    with load(LAB, url, 20, tmp_path) as under:
        if way == "SIGKILL":
            at = cluster.signalled(pod, image, "KILL")
            until(lambda: started_again(pod), "started again", 15)
            dead = time.time()
        else:
            at = time.time()
            kubectl("delete", "pod", pod["metadata"]["name"], *way.split())
            dead = cluster.left(pod, image)
    late = [round(failure - at, 2) for failure in under.failures if failure > dead + 2]
    assert late == [], under.log
    assert len(under.failures) < 34 * (dead + 2 - at), under.log  # its third of those seconds


def started_again(pod: dict[str, Any]) -> bool:
    """Its container is another one."""
    now = [each for pod in pods("api") for each in pod["status"].get("containerStatuses", ())]
    return pod["status"]["containerStatuses"][0]["containerID"] not in [each.get("containerID") for each in now]


# Redis goes and comes back


def test_redis_killed_hung_and_back_loses_no_request(url: str, tmp_path: Path) -> None:
    image = cluster.image(cluster.manifests(LAB), "redis")
    with load(LAB, url, 62, tmp_path) as under:
        until(lambda: hits(url) == 1, "a hit at the start")

        kubectl("scale", "deployment/redis", "--replicas", "0")
        kubectl("delete", "pod", "--selector", "app.kubernetes.io/name=redis", "--grace-period=0", "--force")
        until(lambda: hits(url) == 0, "a miss with Redis killed")
        time.sleep(5)
        kubectl("scale", "deployment/redis", "--replicas", "1")
        kubectl("rollout", "status", "deployment/redis", "--timeout", "60s")
        until(lambda: hits(url) == 1, "a hit after Redis was killed")

        pod = pods("redis")[0]
        try:
            cluster.signalled(pod, image, "STOP")
            until(lambda: hits(url) == 0, "a miss with Redis hung")
            time.sleep(5)
        finally:
            cluster.signalled(pod, image, "CONT")
        until(lambda: hits(url) == 1, "a hit after Redis was hung")
    assert under.requests >= 6000
    assert under.failures == [], under.log


def hits(url: str) -> int:
    """Of one block group, asked for often."""
    group = {"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322}
    group |= {"AveOccup": 2.556, "Latitude": 37.88, "Longitude": -122.23}
    request = urllib.request.Request(f"{url}/predict", json.dumps({"data": [group]}).encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return int(answer.headers["x-cache-hits"])


# Who may do what


def ping(pod: str, namespace: str, address: str) -> str:
    """What a pod hears from Redis, by its address: that asks nothing of DNS."""
    script = (
        f"import socket; s = socket.create_connection(('{address}', 6379), 5); s.send(b'PING\\r\\n'); print(s.recv(9))"
    )
    return kubectl(
        "exec", pod, "--", "python", "-c", f"try:\n {script}\nexcept OSError as e: print(repr(e))", namespace=namespace
    )


@pytest.mark.parametrize("namespace", [cluster.NAMESPACE, "default"])
def test_only_the_api_reaches_redis(url: str, namespace: str) -> None:
    """From its own namespace, and from one where nothing keeps a pod from asking."""
    address = kubectl("get", "service", "redis", "--output", "jsonpath={.spec.clusterIP}")
    stranger = pod_of("api") | {"metadata": {"name": "stranger"}}
    stranger["spec"]["containers"][0] = {
        key: value for key, value in stranger["spec"]["containers"][0].items() if "Probe" not in key
    } | {"command": ["sleep", "600"]}
    try:
        kubectl("apply", "--filename", "-", given=json.dumps(stranger), namespace=namespace)
        kubectl("wait", "pod", "stranger", "--for", "condition=Ready", "--timeout", "60s", namespace=namespace)
        assert "PONG" in ping(pods("api")[0]["metadata"]["name"], cluster.NAMESPACE, address)
        assert "Error" in ping("stranger", namespace, address)
        assert "PONG" in ping(pods("api")[0]["metadata"]["name"], cluster.NAMESPACE, address)
    finally:
        kubectl("delete", "pod", "stranger", "--ignore-not-found", "--now", namespace=namespace)


def pod_of(deployment: str, without: str = "") -> Manifest:
    """A pod as a Deployment of the lab makes it, without one setting."""
    applied = cluster.manifests(LAB)
    if without:
        applied = broken(applied, f"Deployment {deployment}", f"spec.template.spec.{without}", ...)
    template = next(each for each in applied if name(each) == f"Deployment {deployment}")["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": template["spec"]}


def refusal(pod: Manifest) -> str:
    """What the API server says to a pod that it does not let in, or nothing."""
    try:
        kubectl("apply", "--dry-run=server", "--filename", "-", given=json.dumps(pod))
    except AssertionError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("deployment", ["api", "redis"])
def test_a_pod_of_ours_is_let_in(url: str, deployment: str) -> None:
    assert refusal(pod_of(deployment)) == ""


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
def test_a_pod_of_ours_with_one_security_setting_less_is_refused(url: str, deployment: str, setting: str) -> None:
    refused = refusal(pod_of(deployment, without=setting))
    assert 'violates PodSecurity "restricted:latest"' in refused
    assert setting.split(".")[-1] in refused
