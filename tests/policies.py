"""The rules that the manifests hold to. Each takes all that stands together in one namespace, and gives a sentence for
each thing that is wrong. A pod is a cache or a service by its label `app.kubernetes.io/component`."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from manifests import Manifest, name

Rule = Callable[[list[Manifest]], Iterator[str]]
LABELS = {f"app.kubernetes.io/{label}" for label in ("name", "instance", "version", "component", "part-of")}
INSTANCE = "app.kubernetes.io/instance"
SERVER_FINISHES = {"housing": 20, "sentiment": 65}  # seconds: --timeout-graceful-shutdown in the Dockerfile
BUSY_START = 20  # seconds a start takes at most
UNITS = {"": 1, "m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "kb": 2**10, "mb": 2**20, "gb": 2**30}
RETRIES = {"connect-failure", "refused-stream", "unavailable"}
GATEWAY, ISTIOD, DNS = "aks-istio-ingress", "aks-istio-system", "kube-system"
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def wrong(world: list[Manifest]) -> list[str]:
    return [sentence for each in RULES for sentence in each(world)]


def dig(manifest: Any, path: str) -> Any:  # noqa: ANN401
    """What stands at `spec.template.spec`, or nothing."""
    for key in path.split("."):
        manifest = manifest.get(key) if isinstance(manifest, dict) else None
    return manifest


def kind(world: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in world if manifest["kind"] in kinds]


def workloads(world: list[Manifest], component: str = "") -> list[tuple[str, Manifest, Manifest]]:
    """Name, whole and pod."""
    found = kind(world, "Deployment", "StatefulSet", "DaemonSet", "Job")
    label = "app.kubernetes.io/component"
    return [
        (name(one), one, one["spec"]["template"]["spec"])
        for one in found
        if not component or dig(one, "metadata.labels").get(label) == component
    ]


def containers(world: list[Manifest], component: str = "") -> list[tuple[str, Manifest]]:
    return [
        (f"{where}, container {container['name']}", container)
        for where, _, pod in workloads(world, component)
        for container in pod.get("initContainers", []) + pod["containers"]
    ]


def pod_labels(workload: Manifest) -> dict[str, str]:
    return dig(workload, "spec.template.metadata.labels") or {}


def selected(selector: dict[str, str], workload: Manifest) -> bool:
    return selector.items() <= pod_labels(workload).items()


def number(quantity: object) -> float:
    digits, unit = re.fullmatch(r"([0-9.]+)(\w*)", str(quantity)).groups()  # type: ignore[union-attr]
    return float(digits) * UNITS[unit]


# Pods


@rule
def nobody_is_root(world: list[Manifest]) -> Iterator[str]:
    for where, _, pod in workloads(world):
        security = pod.get("securityContext", {})
        if security.get("runAsNonRoot") is not True:
            yield f"{where}: runAsNonRoot is not set"
        if not isinstance(security.get("runAsUser"), int) or security["runAsUser"] == 0:
            yield f"{where}: runAsUser is no number above 0"
    for where, container in containers(world):
        if {"runAsUser", "runAsNonRoot"} & container.get("securityContext", {}).keys():
            yield f"{where}: the user is the pod's to say"


@rule
def nobody_has_or_gains_rights(world: list[Manifest]) -> Iterator[str]:
    for where, _, pod in workloads(world):
        if dig(pod, "securityContext.seccompProfile.type") != "RuntimeDefault":
            yield f"{where}: seccompProfile is not RuntimeDefault"
        for what in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(what):
                yield f"{where}: {what}"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{where}: hostPath"
    for where, container in containers(world):
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{where}: allowPrivilegeEscalation is not false"
        if dig(security, "capabilities.drop") != ["ALL"] or dig(security, "capabilities.add"):
            yield f"{where}: capabilities are left"
        if security.get("privileged"):
            yield f"{where}: privileged"


@rule
def the_image_cannot_be_written(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world):
        if dig(container, "securityContext.readOnlyRootFilesystem") is not True:
            yield f"{where}: readOnlyRootFilesystem is not true"
        if "/tmp" not in [mount["mountPath"] for mount in container.get("volumeMounts", [])]:  # noqa: S108
            yield f"{where}: nothing is mounted at /tmp"
    for where, _, pod in workloads(world):
        if not any("emptyDir" in volume for volume in pod.get("volumes", [])):
            yield f"{where}: no emptyDir"


@rule
def no_pod_knows_the_cluster(world: list[Manifest]) -> Iterator[str]:
    for where, _, pod in workloads(world):
        for what in ("automountServiceAccountToken", "enableServiceLinks"):
            if pod.get(what) is not False:
                yield f"{where}: {what} is not false"


@rule
def an_image_is_a_version(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            yield f"{where}: the image {container['image']} is no version"


# What binds them together


@rule
def everything_has_the_labels(world: list[Manifest]) -> Iterator[str]:
    for one in world:
        missing = sorted(LABELS - (dig(one, "metadata.labels") or {}).keys())
        if missing:
            yield f"{name(one)}: no label {', '.join(missing)}"
    for where, one, _ in workloads(world):
        missing = sorted(LABELS - pod_labels(one).keys())
        if missing:
            yield f"{where}: no label {', '.join(missing)} on its pods"


def selectors(world: list[Manifest]) -> Iterator[tuple[Manifest, dict[str, str]]]:
    for one in world:
        if one["kind"] == "Service":
            yield one, one["spec"].get("selector", {})
        elif one["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor", "ServiceMonitor"):
            yield one, one["spec"]["selector"].get("matchLabels", {})
        elif one["kind"] == "NetworkPolicy":
            yield one, one["spec"]["podSelector"].get("matchLabels", {})


@rule
def a_selector_names_what_no_release_changes(world: list[Manifest]) -> Iterator[str]:
    for one, selector in selectors(world):
        if selector.keys() - {"app.kubernetes.io/name"}:
            yield f"{name(one)}: selects by more than app.kubernetes.io/name"
        elif not any(selected(selector, workload) for _, workload, _ in workloads(world)):
            yield f"{name(one)}: selects no pod"


@rule
def ports_have_names(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world):
        if any("name" not in port for port in container.get("ports", [])):
            yield f"{where}: a port without a name"
    for service in kind(world, "Service"):
        of_pods = {
            port.get("name")
            for _, workload, pod in workloads(world)
            if selected(service["spec"].get("selector", {}), workload)
            for container in pod["containers"]
            for port in container.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            if not port.get("name"):
                yield f"{name(service)}: a port without a name"
            if port.get("targetPort") not in of_pods:
                yield f"{name(service)}: targetPort {port.get('targetPort')} is the name of no port of its pods"


@rule
def all_is_in_one_namespace(world: list[Manifest]) -> Iterator[str]:
    """A component that an outer overlay adds is in none, unless that overlay names it again."""
    names = {dig(one, "metadata.namespace") for one in world if one["kind"] != "Namespace"}
    if len(names) > 1:
        yield f"more than one namespace: {', '.join(sorted(str(each) for each in names))}"


@rule
def the_namespace_takes_only_restricted_pods(world: list[Manifest]) -> Iterator[str]:
    for one in kind(world, "Namespace"):
        for mode in ("enforce", "warn", "audit"):
            if one["metadata"]["labels"].get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"{name(one)}: {mode} is not restricted"
        if "istio-injection" in one["metadata"]["labels"]:
            yield f"{name(one)}: istio-injection, which AKS ignores"


@rule
def versions_are_current_and_there_are_no_secrets(world: list[Manifest]) -> Iterator[str]:
    for one in world:
        if not re.fullmatch(r"([a-z0-9.]+/)?v\d+", one["apiVersion"]):
            yield f"{name(one)}: {one['apiVersion']} is not stable"
        if one["kind"] == "Secret":
            yield f"{name(one)}: a secret that everybody can read"


# What they get and how they come and go


@rule
def resources_are_asked_for(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world):
        requests, limits = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
        if "cpu" not in requests:
            yield f"{where}: no CPU request"
        if "memory" not in limits or limits["memory"] != requests.get("memory"):
            yield f"{where}: the memory limit is not the request"
    for where, one, pod in workloads(world, "inference"):
        for container in pod["containers"]:
            settings = {entry["name"]: entry.get("value") for entry in container.get("env", [])}
            limit, inference = dig(container, "resources.limits.cpu"), settings.get("INFERENCE_THREADS")
            threads = 1 + int(inference or 0)  # the event loop, and the inference threads of the final project
            if limit and number(limit) < threads:
                yield f"{where}, container {container['name']}: a CPU limit below {threads}, the threads in use"
            if pod_labels(one).get(INSTANCE) == "sentiment" and not limit and not inference:
                yield f"{where}: as many inference threads as the node has cores"


@rule
def a_service_is_asked_how_it_is(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world, "inference"):
        ports = [port.get("name") for port in container.get("ports", [])]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if dig(container, f"{probe}.httpGet.port") not in ports:
                yield f"{where}: {probe} is no httpGet on a named port"
        if dig(container, "livenessProbe.httpGet.path") not in ("/health", "/health/live"):
            yield f"{where}: livenessProbe asks for more than whether it lives"
        start = container.get("startupProbe", {})
        if start.get("periodSeconds", 10) * start.get("failureThreshold", 3) <= BUSY_START:
            yield f"{where}: startupProbe gives up within {BUSY_START} s"


@rule
def a_rollout_takes_nothing_away(world: list[Manifest]) -> Iterator[str]:
    for where, one, _ in workloads(world, "inference"):
        rolling = dig(one, "spec.strategy.rollingUpdate") or {}
        if (rolling.get("maxUnavailable"), rolling.get("maxSurge")) != (0, 1):
            yield f"{where}: a rollout is not maxUnavailable 0, maxSurge 1"


@rule
def who_goes_finishes_first(world: list[Manifest]) -> Iterator[str]:
    for where, one, pod in workloads(world, "inference"):
        sleeps = [dig(container, "lifecycle.preStop.sleep.seconds") or 0 for container in pod["containers"]]
        if min(sleeps) < 5:
            yield f"{where}: no preStop sleep of 5 s"
        settings = [entry for container in pod["containers"] for entry in container.get("env", [])]
        drains = sum(int(entry["value"]) for entry in settings if entry["name"] == "DRAIN_SECONDS")
        finishes = SERVER_FINISHES[pod_labels(one)[INSTANCE]]
        if pod.get("terminationGracePeriodSeconds", 30) <= max(sleeps) + drains + finishes:
            yield f"{where}: is killed before preStop and the server are done"


@rule
def one_of_many_goes_at_a_time(world: list[Manifest]) -> Iterator[str]:
    for where, one, pod in workloads(world, "inference"):
        budgets = [
            budget["spec"]
            for budget in kind(world, "PodDisruptionBudget")
            if selected(budget["spec"]["selector"]["matchLabels"], one)
        ]
        if [budget.get("maxUnavailable") for budget in budgets] != [1]:
            yield f"{where}: no PodDisruptionBudget of maxUnavailable 1"
        if any(budget.get("unhealthyPodEvictionPolicy") != "AlwaysAllow" for budget in budgets):
            yield f"{where}: a pod that is never ready keeps its node from being drained"
        spread = pod.get("topologySpreadConstraints", [])
        if not any(
            constraint["topologyKey"] == "kubernetes.io/hostname"
            and selected(constraint.get("labelSelector", {}).get("matchLabels", {"no": "selector"}), one)
            for constraint in spread
        ):
            yield f"{where}: is not spread over the nodes"


@rule
def one_owner_of_the_number_of_pods(world: list[Manifest]) -> Iterator[str]:
    scaled = {
        name_of["name"] for hpa in kind(world, "HorizontalPodAutoscaler") if (name_of := hpa["spec"]["scaleTargetRef"])
    }
    for where, one, _ in workloads(world, "inference"):
        if one["metadata"]["name"] in scaled and "replicas" in one["spec"]:
            yield f"{where}: replicas, which an autoscaler owns"
        if one["metadata"]["name"] not in scaled and one["spec"].get("replicas", 1) < 2:
            yield f"{where}: a single pod"


@rule
def an_autoscaler_neither_flaps_nor_dozes(world: list[Manifest]) -> Iterator[str]:
    for hpa in kind(world, "HorizontalPodAutoscaler"):
        where, spec = name(hpa), hpa["spec"]
        if hpa["apiVersion"] != "autoscaling/v2":
            yield f"{where}: is not autoscaling/v2"
        if spec.get("minReplicas", 1) < 2:
            yield f"{where}: goes down to a single pod"
        if spec["maxReplicas"] <= spec.get("minReplicas", 1):
            yield f"{where}: has no room"
        if not 30 <= (dig(spec, "behavior.scaleDown.stabilizationWindowSeconds") or 300) <= 120:
            yield f"{where}: goes in too soon or too late"
        if (dig(spec, "behavior.scaleUp.stabilizationWindowSeconds") or 0) > 30:
            yield f"{where}: goes out too late"
        names = {container["name"] for _, _, pod in workloads(world, "inference") for container in pod["containers"]}
        if [dig(metric, "containerResource.container") in names for metric in spec.get("metrics", [])] != [True]:
            yield f"{where}: does not look at the container of the service alone"


# The cache


def configuration(world: list[Manifest]) -> dict[str, str]:
    """What Redis' configuration file says, by its first words."""
    lines = [line for one in kind(world, "ConfigMap") for line in one["data"].get("redis.conf", "").splitlines()]
    return dict(line.partition(" ")[::2] for line in lines if line and not line.startswith("#"))


@rule
def a_cache_keeps_nothing_and_stays_within_its_memory(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world, "cache"):
        says = configuration(world)
        for key, value in {"save": '""', "appendonly": "no", "maxmemory-policy": "allkeys-lru"}.items():
            if says.get(key) != value:
                yield f"{where}: {key} is not {value}"
        limit = number(dig(container, "resources.limits.memory") or 0)
        if number(says.get("maxmemory", 0)) != limit * 0.75:
            yield f"{where}: maxmemory is not 75 % of the limit"
    for where, one, pod in workloads(world, "cache"):
        if dig(one, "spec.strategy.type") != "Recreate":
            yield f"{where}: a second cache during a rollout"
        if kind(world, "PersistentVolumeClaim") or any("persistentVolumeClaim" in each for each in pod["volumes"]):
            yield f"{where}: a volume claim"


@rule
def a_cache_is_asked_how_it_is(world: list[Manifest]) -> Iterator[str]:
    for where, container in containers(world, "cache"):
        command = dig(container, "readinessProbe.exec.command") or []
        if "ping" not in command or "-e" not in command:
            yield f"{where}: readinessProbe is not redis-cli -e ping"
        if not dig(container, "livenessProbe.tcpSocket.port"):
            yield f"{where}: livenessProbe is not by TCP"


@rule
def nobody_waits_for_the_cache(world: list[Manifest]) -> Iterator[str]:
    for where, _, pod in workloads(world, "inference"):
        if pod.get("initContainers"):
            yield f"{where}: an init container, and it lives without the cache"


# The network


def policies(world: list[Manifest], workload: Manifest, direction: str) -> list[Manifest]:
    """The rules of all policies for these pods."""
    return [
        each
        for policy in kind(world, "NetworkPolicy")
        if selected(policy["spec"]["podSelector"].get("matchLabels", {}), workload)
        for each in policy["spec"].get(direction, [])
    ]


def numbers(allowed: Manifest) -> set[tuple[str, object]]:
    return {(port.get("protocol", "TCP"), port.get("port")) for port in allowed.get("ports", [{}])}


def namespaces(allowed: Manifest, side: str) -> set[str]:
    """The ones that it names; `*` stands for anybody else's."""
    found: set[str] = set()
    for peer in allowed.get(side, [{"ipBlock": {}}]):
        if peer.keys() == {"podSelector"}:
            continue
        selector = peer.get("namespaceSelector", {})
        values = [selector.get("matchLabels", {}).get("kubernetes.io/metadata.name")]
        for expression in selector.get("matchExpressions", []):
            if (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "In"):
                values = expression["values"]
        found |= {value or "*" for value in values}
    return found


@rule
def the_network_is_closed_by_default(world: list[Manifest]) -> Iterator[str]:
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(policy["spec"] == closed for policy in kind(world, "NetworkPolicy")):
        yield "no NetworkPolicy denies by default"


@rule
def only_the_service_reaches_the_cache(world: list[Manifest]) -> Iterator[str]:
    services = [one for _, one, _ in workloads(world, "inference")]
    for where, cache, _ in workloads(world, "cache"):
        if not (allowed := policies(world, cache, "ingress")):
            yield f"{where}: the service does not reach it"
        for peer in [peer for each in allowed for peer in each.get("from", [{}])]:
            labels = dig(peer, "podSelector.matchLabels") or {}
            if peer.keys() != {"podSelector"} or not labels or not any(selected(labels, one) for one in services):
                yield f"{where}: others than the service reach it"
        to = [each for one in services for each in policies(world, one, "egress")]
        if not any(
            selected(dig(peer, "podSelector.matchLabels") or {"no": "labels"}, cache)
            for each in to
            for peer in each.get("to", [])
        ):
            yield f"{where}: the service may not go there"


@rule
def a_service_takes_its_port_and_goes_where_it_must(world: list[Manifest]) -> Iterator[str]:
    istio = bool(kind(world, "Gateway"))
    for where, one, _ in workloads(world, "inference"):
        taken = policies(world, one, "ingress")
        caller = GATEWAY if istio else "*"
        if not any(namespaces(each, "from") & {caller, "*"} and ("TCP", "http") in numbers(each) for each in taken):
            yield f"{where}: nobody may ask it"
        if istio and any("*" in namespaces(each, "from") for each in taken):
            yield f"{where}: is asked past the gateway"
        if any(port not in (("TCP", "http"), ("TCP", 15020)) for each in taken for port in numbers(each)):
            yield f"{where}: takes another port than its own"
        out = policies(world, one, "egress")
        if not any(namespaces(each, "to") == {DNS} and {("UDP", 53), ("TCP", 53)} <= numbers(each) for each in out):
            yield f"{where}: cannot ask for names"
        if any("*" in namespaces(each, "to") for each in out):
            yield f"{where}: may go anywhere"


@rule
def prometheus_reaches_what_it_asks(world: list[Manifest]) -> Iterator[str]:
    for monitor in kind(world, "PodMonitor"):
        for where, one, pod in workloads(world, "inference"):
            named = {port.get("name") for container in pod["containers"] for port in container.get("ports", [])}
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if endpoint.get("port") not in named:
                    yield f"{name(monitor)}: asks a port that {where} does not have"
            notes = dig(one, "spec.template.metadata.annotations") or {}
            if notes.get("prometheus.io/port") != "8000" or notes.get("prometheus.io/path") != "/metrics":
                yield f"{where}: does not say where its metrics are"
            if not any(
                DNS in namespaces(each, "from") and {("TCP", "http"), ("TCP", 15020)} <= numbers(each)
                for each in policies(world, one, "ingress")
            ):
                yield f"{where}: Prometheus may not ask it"


# Istio


@rule
def the_gateway_knows_the_host(world: list[Manifest]) -> Iterator[str]:
    hosts = [host for route in kind(world, "VirtualService") for host in route["spec"]["hosts"]]
    for gateway in kind(world, "Gateway"):
        if gateway["spec"]["selector"] != {"istio": "aks-istio-ingressgateway-external"}:
            yield f"{name(gateway)}: is not the external one of AKS"
        if [host for server in gateway["spec"]["servers"] for host in server["hosts"]] != hosts or "*" in hosts:
            yield f"{name(gateway)}: has not the host of the VirtualService"
        if not kind(world, "PeerAuthentication"):
            yield f"{name(gateway)}: no PeerAuthentication beside it"
        if not kind(world, "DestinationRule"):
            yield f"{name(gateway)}: no DestinationRule beside it"


@rule
def a_route_ends_and_computes_nothing_twice(world: list[Manifest]) -> Iterator[str]:
    ports = {
        (service["metadata"]["name"], port["port"])
        for service in kind(world, "Service")
        for port in service["spec"]["ports"]
    }
    for route in kind(world, "VirtualService"):
        metrics, *others = route["spec"]["http"]
        if metrics.get("match") != [{"uri": {"exact": "/metrics"}}] or dig(metrics, "directResponse.status") != 404:
            yield f"{name(route)}: shows the metrics to the world"
        for http in others:
            if "timeout" not in http:
                yield f"{name(route)}: no timeout"
            if not set(http.get("retries", {}).get("retryOn", "any").split(",")) <= RETRIES:
                yield f"{name(route)}: tries again what a pod may have begun"
            for to in http["route"]:
                if (dig(to, "destination.host"), dig(to, "destination.port.number")) not in ports:
                    yield f"{name(route)}: leads to no Service"


@rule
def a_pod_that_fails_is_left_out(world: list[Manifest]) -> Iterator[str]:
    for one in kind(world, "DestinationRule"):
        traffic = one["spec"].get("trafficPolicy", {})
        if dig(traffic, "outlierDetection.maxEjectionPercent") != 50:
            yield f"{name(one)}: maxEjectionPercent is not 50"
        if dig(traffic, "loadBalancer.simple") != "LEAST_REQUEST":
            yield f"{name(one)}: is not LEAST_REQUEST"
        if dig(traffic, "tls"):
            yield f"{name(one)}: tls, which STRICT settles"


@rule
def the_mesh_is_strict_and_can_be_reached(world: list[Manifest]) -> Iterator[str]:
    for one in kind(world, "PeerAuthentication"):
        if dig(one, "spec.mtls.mode") != "STRICT" or one["spec"].keys() != {"mtls"}:
            yield f"{name(one)}: is not STRICT for the whole namespace"
        ways = [policies(world, workload, "egress") for _, workload, _ in workloads(world)]
        if not all(
            any(namespaces(each, "to") == {ISTIOD} and ("TCP", 15012) in numbers(each) for each in way) for way in ways
        ):
            yield f"{name(one)}: a pod's proxy does not reach istiod"
        if not all(any(namespaces(each, "to") == {DNS} for each in way) for way in ways):
            yield f"{name(one)}: a pod's proxy cannot ask for names"
