"""What is changed in a copy of the manifests, one thing at a time, and the one sentence that is told. `POD` and `BOX`
are the way to a Deployment's pod and its container; `...` takes out; a sentence begins with what it stands under,
unless it names another."""

from typing import Any

API, REDIS = "Deployment api", "Deployment redis"
POD, BOX = "spec.template.spec", "spec.template.spec.containers.0"
LABEL = "labels.app~kubernetes~io"
HPA, ROUTE = "HorizontalPodAutoscaler api", "VirtualService api"
STANDARD = ("name", "instance", "version", "component", "part-of")
CONF = {"save": '""', "appendonly": "no", "maxmemory": "96mb", "maxmemory-policy": "allkeys-lru"}

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "redis", "labels": {f"app.kubernetes.io/{label}": "redis" for label in STANDARD}},
}


def is_whole(sentence: str) -> bool:
    return ": " in sentence or sentence == "no NetworkPolicy denies by default"


def conf(**change: str) -> str:
    return "\n".join(
        " ".join(line) for line in (CONF | {key.replace("_", "-"): value for key, value in change.items()}).items()
    )


CHANGES: dict[str, dict[str, list[tuple[str, Any, str]]]] = {
    "lab_3": {
        API: [
            (f"{POD}.securityContext.runAsNonRoot", ..., "runAsNonRoot is not set"),
            (f"{POD}.securityContext.runAsUser", ..., "runAsUser is no number above 0"),
            (f"{POD}.securityContext.runAsUser", 0, "runAsUser is no number above 0"),
            (f"{POD}.securityContext.runAsUser", "app", "runAsUser is no number above 0"),
            (f"{POD}.securityContext.seccompProfile", ..., "seccompProfile is not RuntimeDefault"),
            (f"{POD}.hostNetwork", True, "hostNetwork"),
            (f"{POD}.hostPID", True, "hostPID"),
            (f"{POD}.volumes.0.hostPath", {"path": "/"}, "hostPath"),
            (f"{POD}.volumes.0.emptyDir", ..., "no emptyDir"),
            (f"{POD}.automountServiceAccountToken", ..., "automountServiceAccountToken is not false"),
            (f"{POD}.enableServiceLinks", True, "enableServiceLinks is not false"),
            (f"{POD}.terminationGracePeriodSeconds", 25, "is killed before preStop and the server are done"),
            (
                f"{BOX}.env.1",
                {"name": "DRAIN_SECONDS", "value": "15"},
                "is killed before preStop and the server are done",
            ),
            (f"{POD}.topologySpreadConstraints", ..., "is not spread over the nodes"),
            (f"{POD}.topologySpreadConstraints.0.labelSelector", ..., "is not spread over the nodes"),
            (f"{BOX}.lifecycle", ..., "no preStop sleep of 5 s"),
            (f"{BOX}.lifecycle.preStop.sleep.seconds", 20, "is killed before preStop and the server are done"),
            (f"spec.template.metadata.{LABEL}/part-of", ..., "no label app.kubernetes.io/part-of on its pods"),
            ("spec.strategy", ..., "a rollout is not maxUnavailable 0, maxSurge 1"),
            ("spec.strategy.rollingUpdate.maxUnavailable", 1, "a rollout is not maxUnavailable 0, maxSurge 1"),
            ("spec.replicas", ..., "a single pod"),
        ],
        f"{API}, container api": [
            (f"{BOX}.securityContext.runAsUser", 0, "the user is the pod's to say"),
            (f"{BOX}.securityContext.allowPrivilegeEscalation", ..., "allowPrivilegeEscalation is not false"),
            (f"{BOX}.securityContext.capabilities.drop", ["CHOWN"], "capabilities are left"),
            (f"{BOX}.securityContext.capabilities.add", ["CHOWN"], "capabilities are left"),
            (f"{BOX}.securityContext.privileged", True, "privileged"),
            (f"{BOX}.securityContext.readOnlyRootFilesystem", ..., "readOnlyRootFilesystem is not true"),
            (f"{BOX}.volumeMounts", ..., "nothing is mounted at /tmp"),
            (f"{BOX}.image", "lab3", "the image lab3 is no version"),
            (f"{BOX}.image", "lab3:latest", "the image lab3:latest is no version"),
            (f"{BOX}.image", "localhost:5000/lab3", "the image localhost:5000/lab3 is no version"),
            (f"{BOX}.resources.requests.cpu", ..., "no CPU request"),
            (f"{BOX}.resources.limits.memory", "1Gi", "the memory limit is not the request"),
            (f"{BOX}.resources.limits", ..., "the memory limit is not the request"),
            (f"{BOX}.resources.limits.cpu", "500m", "a CPU limit below 1, the threads in use"),
            (f"{BOX}.startupProbe.failureThreshold", 20, "startupProbe gives up within 20 s"),
            (f"{BOX}.readinessProbe", ..., "readinessProbe is no httpGet on a named port"),
            (f"{BOX}.livenessProbe.httpGet.port", 8000, "livenessProbe is no httpGet on a named port"),
            (f"{BOX}.livenessProbe.httpGet.path", "/predict", "livenessProbe asks for more than whether it lives"),
            (f"{BOX}.livenessProbe.httpGet.path", "/health/ready", "livenessProbe asks for more than whether it lives"),
        ],
        REDIS: [
            ("spec.strategy", ..., "a second cache during a rollout"),
            (f"{POD}.volumes.0.persistentVolumeClaim", {}, "a volume claim"),
        ],
        f"{REDIS}, container redis": [
            (f"{BOX}.ports.1", {"containerPort": 6380}, "a port without a name"),
            (f"{BOX}.readinessProbe.exec.command", ["redis-cli", "ping"], "readinessProbe is not redis-cli -e ping"),
            (f"{BOX}.livenessProbe", ..., "livenessProbe is not by TCP"),
        ],
        "ConfigMap redis": [
            ("data.redis~conf", conf(save="60 1"), f'{REDIS}, container redis: save is not ""'),
            ("data.redis~conf", conf(appendonly="yes"), f"{REDIS}, container redis: appendonly is not no"),
            (
                "data.redis~conf",
                conf(maxmemory="128mb"),
                f"{REDIS}, container redis: maxmemory is not 75 % of the limit",
            ),
            ("data.redis~conf", conf(maxmemory="0"), f"{REDIS}, container redis: maxmemory is not 75 % of the limit"),
            (
                "data.redis~conf",
                conf(maxmemory_policy="noeviction"),
                f"{REDIS}, container redis: maxmemory-policy is not allkeys-lru",
            ),
        ],
        "Service api": [
            (f"metadata.{LABEL}/version", ..., "no label app.kubernetes.io/version"),
            ("spec.selector.app~kubernetes~io/instance", "housing", "selects by more than app.kubernetes.io/name"),
            ("spec.ports.0.targetPort", 8000, "targetPort 8000 is the name of no port of its pods"),
            ("spec.ports.0.name", ..., "a port without a name"),
        ],
        "Secret none": [("", SECRET, "Secret redis: a secret that everybody can read")],
        "PodDisruptionBudget api": [
            ("", ..., f"{API}: no PodDisruptionBudget of maxUnavailable 1"),
            ("spec.maxUnavailable", 2, f"{API}: no PodDisruptionBudget of maxUnavailable 1"),
            (
                "spec.unhealthyPodEvictionPolicy",
                ...,
                f"{API}: a pod that is never ready keeps its node from being drained",
            ),
            ("apiVersion", "policy/v1beta1", "policy/v1beta1 is not stable"),
        ],
        "Namespace w255": [
            ("metadata.labels.pod-security~kubernetes~io/enforce", "baseline", "enforce is not restricted"),
            ("metadata.labels.pod-security~kubernetes~io/warn", ..., "warn is not restricted"),
            ("metadata.labels.pod-security~kubernetes~io/audit", ..., "audit is not restricted"),
            ("metadata.labels.istio-injection", "enabled", "istio-injection, which AKS ignores"),
        ],
        "NetworkPolicy deny-by-default": [
            ("", ..., "no NetworkPolicy denies by default"),
            ("spec.policyTypes", ["Ingress"], "no NetworkPolicy denies by default"),
        ],
        "NetworkPolicy redis": [
            ("", ..., f"{REDIS}: the service does not reach it"),
            ("spec.ingress.0.from", ..., f"{REDIS}: others than the service reach it"),
            ("spec.ingress.0.from.0.podSelector", {}, f"{REDIS}: others than the service reach it"),
            ("spec.ingress.0.from.0.namespaceSelector", {}, f"{REDIS}: others than the service reach it"),
        ],
        "NetworkPolicy api": [
            ("spec.ingress", [], f"{API}: nobody may ask it"),
            ("spec.ingress.1", {"ports": [{"port": 22}]}, f"{API}: takes another port than its own"),
            ("spec.egress.0.to", [], f"{REDIS}: the service may not go there"),
            ("spec.egress.1.ports.0.port", 54, f"{API}: cannot ask for names"),
            ("spec.egress.2", {}, f"{API}: may go anywhere"),
        ],
    },
    "lab_4 dev": {
        "Service redis": [("metadata.namespace", "other", "more than one namespace: other, w255")],
    },
    "lab_4 dev hpa": {
        API: [("spec.replicas", 3, "replicas, which an autoscaler owns")],
        HPA: [
            ("metadata.namespace", ..., "more than one namespace: None, w255"),
            ("apiVersion", "autoscaling/v1", "is not autoscaling/v2"),
            ("spec.minReplicas", 1, "goes down to a single pod"),
            ("spec.maxReplicas", 2, "has no room"),
            ("spec.behavior", ..., "goes in too soon or too late"),
            ("spec.behavior.scaleDown.stabilizationWindowSeconds", 5, "goes in too soon or too late"),
            ("spec.behavior.scaleUp.stabilizationWindowSeconds", 300, "goes out too late"),
            (
                "spec.metrics.0.containerResource.container",
                "redis",
                "does not look at the container of the service alone",
            ),
            ("spec.metrics.0", {"resource": {"name": "cpu"}}, "does not look at the container of the service alone"),
        ],
    },
    "lab_4 dev monitoring": {
        "PodMonitor api": [
            ("spec.selector.matchLabels.app~kubernetes~io/name", "app", "selects no pod"),
            ("spec.podMetricsEndpoints.0.port", "metrics", f"asks a port that {API} does not have"),
        ],
        API: [("spec.template.metadata.annotations", ..., "does not say where its metrics are")],
        "NetworkPolicy api-metrics": [("", ..., f"{API}: Prometheus may not ask it")],
    },
    "lab_4 prod": {
        "Gateway api": [
            ("spec.selector.istio", "ingressgateway", "is not the external one of AKS"),
            ("spec.servers.0.hosts.0", "*", "has not the host of the VirtualService"),
        ],
        "PeerAuthentication default": [
            ("", ..., "Gateway api: no PeerAuthentication beside it"),
            ("spec.mtls.mode", "PERMISSIVE", "is not STRICT for the whole namespace"),
            ("spec.selector", {"matchLabels": {}}, "is not STRICT for the whole namespace"),
        ],
        "DestinationRule api": [
            ("", ..., "Gateway api: no DestinationRule beside it"),
            ("spec.trafficPolicy.outlierDetection.maxEjectionPercent", ..., "maxEjectionPercent is not 50"),
            ("spec.trafficPolicy.loadBalancer.simple", "ROUND_ROBIN", "is not LEAST_REQUEST"),
            ("spec.trafficPolicy.tls", {"mode": "DISABLE"}, "tls, which STRICT settles"),
        ],
        ROUTE: [
            ("spec.http.0.match.0.uri", {"exact": "/metric"}, "shows the metrics to the world"),
            ("spec.http.0.directResponse.status", 200, "shows the metrics to the world"),
            ("spec.http.1.timeout", ..., "no timeout"),
            ("spec.http.1.retries", ..., "tries again what a pod may have begun"),
            ("spec.http.1.retries.retryOn", "5xx", "tries again what a pod may have begun"),
            ("spec.http.1.route.0.destination.port.number", 80, "leads to no Service"),
        ],
        "NetworkPolicy api": [
            ("spec.ingress.0.from", ..., f"{API}: is asked past the gateway"),
            ("spec.ingress", [], f"{API}: nobody may ask it"),
        ],
        "NetworkPolicy istio": [
            ("spec.egress.0.ports.0.port", 15010, "PeerAuthentication default: a pod's proxy does not reach istiod"),
            ("spec.egress.1", ..., "PeerAuthentication default: a pod's proxy cannot ask for names"),
        ],
    },
    "final_project dev": {
        API: [
            (f"{POD}.terminationGracePeriodSeconds", 75, "is killed before preStop and the server are done"),
            (f"{BOX}.env.2", ..., "as many inference threads as the node has cores"),
        ],
        f"{API}, container api": [(f"{BOX}.resources.limits.cpu", "2", "a CPU limit below 3, the threads in use")],
    },
}
BROKEN = [
    (mix, what.partition(",")[0], path, value, sentence if is_whole(sentence) else f"{what}: {sentence}")
    for mix, manifests in CHANGES.items()
    for what, changes in manifests.items()
    for path, value, sentence in changes
]

# What the schemas tell
REFUSED: list[tuple[str, str, str, Any, str]] = [
    ("lab_3", API, f"{BOX}.limits", {}, f"{BOX}: Additional properties are not allowed ('limits' was unexpected)"),
    ("lab_3", "Service api", "spec.ports.0.port", "8000", "spec.ports.0.port: '8000' is not of type 'integer'"),
    (
        "lab_4 dev hpa",
        HPA,
        "apiVersion",
        "autoscaling/v2beta2",
        "Couldn't find schema for kind HorizontalPodAutoscaler with api version autoscaling/v2beta2 for kubernetes"
        " version 1.34",
    ),
    ("lab_4 prod", ROUTE, "spec.http.0.retry", {}, "spec.http.0.retry: Extra inputs are not permitted"),
    ("lab_4 prod", ROUTE, "metadata.lables", {}, "metadata.lables: Extra inputs are not permitted"),
    (
        "lab_4 prod",
        "PeerAuthentication default",
        "spec.mtls.mode",
        "HARD",
        "spec.mtls.mode: Input should be 'UNSET', 'DISABLE', 'PERMISSIVE' or 'STRICT'",
    ),
    ("lab_4 prod", "PrometheusRule api", "spec.interval", "1m", "spec.interval: Extra inputs are not permitted"),
    ("lab_4 release", "PodMonitor api", "spec.port", "http", "spec.port: Extra inputs are not permitted"),
]
