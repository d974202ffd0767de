"""The manifests follow their schemas, and rules that neither the schemas nor Pod Security check."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from manifests import BUILDS, K8S, Manifest, infra_manifests, kustomize, name, rendered, validate
from repository import FINAL, LAB_5, ROOT, files, project

NAME, VERSION = "app.kubernetes.io/name", "app.kubernetes.io/version"
API, HPA, PDB, MONITOR = "Deployment api", "HorizontalPodAutoscaler api", "PodDisruptionBudget api", "PodMonitor api"
BROKEN = [
    (API, "spec.template.spec.terminationGracePeriodSeconds", 30, "grace period"),
    (API, "spec.template.spec.containers.0.resources.limits.cpu", "500m", "CPU limit"),
    (API, "spec.template.spec.containers.0.resources.limits.memory", "1Gi", "memory limit"),
    (MONITOR, "spec.selector.matchLabels", {NAME: "app"}, "selector"),
    ("Service api", "spec.selector", {NAME: "api", VERSION: "4.1.0"}, "selector"),
    ("NetworkPolicy deny-by-default", "spec.policyTypes", ["Ingress"], "Redis"),
    ("NetworkPolicy redis", "spec.ingress.0.from", None, "Redis"),
    (MONITOR, "spec.podMetricsEndpoints", [{"port": "http"}], "Prometheus"),
    ("NetworkPolicy api", "spec.ingress.0.from", None, "mesh: a client"),
    ("PeerAuthentication default", "spec.mtls.mode", "PERMISSIVE", "mesh: a client"),
    ("VirtualService api", "spec.http.0.directResponse", None, "mesh: the gateway"),
    (API, "spec.replicas", 3, "replicas"),
    (HPA, "spec.minReplicas", 1, "eviction"),
    (PDB, "spec.maxUnavailable", 0, "eviction"),
]


def violations(manifests: list[Manifest]) -> Iterator[str]:
    specs = {name(manifest): manifest.get("spec", {}) for manifest in manifests}
    templates = [specs[deployment]["template"] for deployment in (API, "Deployment redis")]
    (api,), (redis,) = (template["spec"]["containers"] for template in templates)
    environment = {entry["name"]: entry["value"] for entry in api["env"]}
    (dockerfile,) = ROOT.glob(f"*/{re.split('[:@]', api['image'].rpartition('/')[2])[0]}/Dockerfile")
    (shutdown,) = re.findall(r'"--timeout-graceful-shutdown", "(\d+)"', dockerfile.read_text())
    stop = api["lifecycle"]["preStop"]["sleep"]["seconds"] + int(environment["DRAIN_SECONDS"]) + int(shutdown)
    if templates[0]["spec"]["terminationGracePeriodSeconds"] <= stop:
        yield "the grace period ends before the graceful shutdown"
    threads = 1 + int(environment.get("INFERENCE_THREADS", 0))  # the event loop's, and those of the final project
    cpu = api["resources"]["limits"].get("cpu", "inf")
    if float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1) < threads:
        yield "the CPU limit is below the number of threads"
    if any(pod["resources"]["limits"]["memory"] != pod["resources"]["requests"]["memory"] for pod in (api, redis)):
        yield "the memory limit differs from the request"

    for what, spec in specs.items():
        if what.split()[0] in ("Service", "Deployment", "PodDisruptionBudget", "PodMonitor", "NetworkPolicy"):
            selector = spec.get("selector", spec.get("podSelector"))
            labels = selector if what.startswith("Service ") else selector.get("matchLabels", {})
            if VERSION in labels or not any(labels.items() <= pod["metadata"]["labels"].items() for pod in templates):
                yield f"{what}: the selector matches no pod, or only pods of one version"

    policies = [spec for what, spec in specs.items() if what.startswith("NetworkPolicy ")]
    labels = templates[1]["metadata"]["labels"].items()
    for_redis = [policy for policy in policies if policy["podSelector"].get("matchLabels", {}).items() <= labels]
    clients = [rule.get("from") for policy in for_redis for rule in policy.get("ingress", [])]
    denied = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    if not denied or clients != [[{"podSelector": {"matchLabels": {NAME: "api"}}}]]:
        yield "not only the API can connect to Redis"
    if "Gateway api" in specs and MONITOR in specs and "relabelings" not in specs[MONITOR]["podMetricsEndpoints"][0]:
        yield "Prometheus cannot scrape port 8000 because of mutual TLS: the component istio must follow monitoring"

    if "Gateway api" in specs:
        sources = json.dumps(specs["NetworkPolicy api"]["ingress"][0].get("from"))
        if "aks-istio-ingress" not in sources or specs["PeerAuthentication default"]["mtls"]["mode"] != "STRICT":
            yield "mesh: a client can connect to the API without the gateway"
        if specs["VirtualService api"]["http"][0].get("directResponse") != {"status": 404}:
            yield "mesh: the gateway publishes /metrics"
    deployment, autoscaler = specs[API], specs.get(HPA)
    if autoscaler and ("replicas" in deployment or autoscaler["scaleTargetRef"]["name"] != "api"):
        yield "an autoscaler needs a Deployment without replicas"
    replicas = autoscaler["minReplicas"] if autoscaler else deployment["replicas"]
    if not 1 <= specs[PDB].get("maxUnavailable", 0) < replicas:
        yield "an eviction is impossible, or can remove the only pod"


@pytest.mark.parametrize("build", BUILDS)
def test_manifests_follow_schemas_and_rules(build: str) -> None:
    validate(rendered(build))
    assert list(violations(rendered(build))) == []


@pytest.mark.parametrize(("what", "path", "value", "rule"), BROKEN)
def test_broken_manifest_violates_one_rule(what: str, path: str, value: object, rule: str) -> None:
    manifests = rendered("lab_4 prod")
    field: Any = next(manifest for manifest in manifests if name(manifest) == what)
    *parents, last = path.split(".")
    for key in parents:
        field = field[int(key)] if key.isdigit() else field[key]
    field[last] = value
    (violation,) = violations(manifests)
    assert rule in violation


@pytest.mark.parametrize("what", [API, "VirtualService api"])
def test_schema_rejects_an_unknown_field(what: str) -> None:
    with pytest.raises(Exception, match="unknown"):
        validate([manifest | {"unknown": {}} for manifest in rendered("lab_4 prod") if name(manifest) == what])


def test_lab_4_deploys_the_objects_of_lab_3() -> None:
    lab_3, lab_4 = (yaml.safe_dump(sorted(rendered(build), key=name)) for build in ("lab_3", "lab_4 dev"))
    differences = r"lab[34]:|[34]\.1\.0|3008[34]|\n +namespace: w255"  # the overlay of lab_4 sets the namespace
    assert re.sub(differences, "", lab_4) == re.sub(differences, "", lab_3)


@pytest.mark.parametrize("build", ["lab_3", *(f"{lab} {overlay}" for lab in K8S for overlay in ("dev", "prod"))])
def test_version_of_service_label_and_image_is_the_same(build: str) -> None:
    lab = ROOT / build.split()[0]
    (version,) = re.findall(r'\bversion="(.+?)"', next(project(lab).glob("*/main.py")).read_text())
    image = f"{project(lab).name}:{version}"  # the version is a part of the cache key, too
    assert f" image={image} " in (lab / "run.sh").read_text()
    text = yaml.safe_dump(rendered(build))
    assert set(re.findall(rf"{NAME}: api\n.*\n *{VERSION}: (.+)", text)) == {version}
    assert re.findall(rf"image: (?:registry\.example\.com/)?({project(lab).name}.*)", text) == [image]


def test_every_file_that_a_comment_names_exists() -> None:
    for path in files("*/infra/*.yaml", "*.k8s/*.yaml"):
        existing = "".join(f"{file}\n" for file in files(path.relative_to(ROOT).parts[0]))
        named = re.findall(r"(?<![\w/.-])([\w./-]*[\w-]+\.yaml)", " ".join(re.findall("#.*", path.read_text())))
        assert [file for file in named if f"/{file}\n" not in existing] == [], path


@pytest.mark.parametrize("lab", K8S)
def test_release_sets_digest_namespace_and_host(lab: str) -> None:
    text = yaml.safe_dump(rendered(f"{lab} release"))
    assert re.search(rf"image: myregistry\.azurecr\.io/{project(ROOT / lab).name}@sha256:0{{64}}\n", text)
    assert "example.com" not in text
    assert set(re.findall(r"^    namespace: (.+)", text, re.MULTILINE)) == {"team"}
    assert set(re.findall(r"apiVersion: (.*monitoring.*)", text)) == {"azmonitoring.coreos.com/v1"}


def test_only_overlays_name_a_namespace_and_they_have_at_most_30_lines() -> None:
    for path in files("*/infra/*.yaml", "*.k8s/base/*.yaml", "*.k8s/components/*.yaml", "*.k8s/overlays/*.yaml"):
        text, is_overlay = path.read_text(), "overlays" in path.parts
        assert bool(re.search(r"^(  )?namespace:", text, re.MULTILINE)) == is_overlay, path
        assert text.count("\n") <= 30 or not is_overlay, path


def test_other_objects_follow_schemas_and_those_on_a_quarter_cpu_violate_two_rules() -> None:
    manifests = infra_manifests("final_project") + kustomize(project(FINAL) / "bench/quarter")
    assert [violation.split()[1] for violation in violations(manifests)] == ["CPU", "eviction"]
    rules = yaml.safe_load(subprocess.check_output([LAB_5 / "rules" / "prometheus-rule.sh"]))
    validate([*manifests, *kustomize(LAB_5 / "dashboards"), rules])
