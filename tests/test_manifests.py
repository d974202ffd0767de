"""The manifests: what they are for Kubernetes, and the rules of policies.py, each proved by broken copies."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from broken_manifests import BROKEN, REFUSED
from manifests import OPTIONS, OVERLAYS, PLAIN, broken, kustomize, mixes, read, rendered, schema_errors
from manifests import name as of
from policies import INSTANCE, SERVER_FINISHES, wrong
from repository import FINAL, REBUILT, ROOT, files, name, project

every_mix = pytest.mark.parametrize("mix", mixes())


@every_mix
def test_every_manifest_is_what_kubernetes_knows(mix: str) -> None:
    assert [error for manifest in rendered(mix) for error in schema_errors(manifest)] == []


@every_mix
def test_every_manifest_holds_to_the_rules(mix: str) -> None:
    assert wrong(rendered(mix)) == []


@every_mix
def test_nothing_is_there_twice(mix: str) -> None:
    names = [of(manifest) for manifest in rendered(mix)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("path", [path for paths in PLAIN.values() for path in paths], ids=name)
def test_a_plain_manifest_goes_where_kubectl_is_told(path: Path) -> None:
    assert [of(manifest) for manifest in read(path) if "namespace" in manifest["metadata"]] == []


@pytest.mark.parametrize("lab", PLAIN)
def test_the_server_gives_up_when_the_manifests_think(lab: str) -> None:
    instance = read(PLAIN[lab][0])[0]["metadata"]["labels"][INSTANCE]
    text = (project(ROOT / lab) / "Dockerfile").read_text()
    assert f'"--timeout-graceful-shutdown", "{SERVER_FINISHES[instance]}"' in text


@pytest.mark.parametrize("what", ["Deployment api", "PodDisruptionBudget api", "NetworkPolicy api"])
def test_lab_4_deploys_what_lab_3_does(what: str) -> None:
    """lab_4's base contains the objects of lab_3's api.yaml. Only the version differs, and what the overlay sets."""
    plain, dev = (next(each for each in rendered(mix) if of(each) == what) for mix in ("lab_3", "lab_4 dev"))
    del dev["metadata"]["namespace"]
    if what == "Deployment api":  # until lab_4 is rebuilt, the memory and the readiness probe differ, too
        for manifest in (plain, dev):
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            del container["resources"], container["readinessProbe"]
    plain_text, dev_text = (re.sub(r"lab\d|\d\.\d\.0", "", yaml.safe_dump(manifest)) for manifest in (plain, dev))
    assert dev_text == plain_text


REBUILT_PLAIN = [lab for lab in PLAIN if ROOT / lab in REBUILT]


@pytest.mark.parametrize("lab", REBUILT_PLAIN)
def test_version_of_service_label_and_image_is_the_same(lab: str) -> None:
    """The version is a part of the cache key."""
    (deployment,) = (each for each in rendered(lab) if of(each) == "Deployment api")
    (version,) = re.findall(r'\bversion="(.+?)"', (project(ROOT / lab) / "src" / "main.py").read_text())
    pods = deployment["spec"]["template"]
    assert deployment["metadata"]["labels"]["app.kubernetes.io/version"] == version
    assert pods["metadata"]["labels"]["app.kubernetes.io/version"] == version
    assert pods["spec"]["containers"][0]["image"] == f"{project(ROOT / lab).name}:{version}"
    assert f" image={project(ROOT / lab).name}:{version} " in (ROOT / lab / "run.sh").read_text()


@pytest.mark.parametrize("lab", REBUILT_PLAIN)
def test_every_network_policy_is_documented_with_its_file(lab: str) -> None:
    """A reader of network-policies.yaml finds the policy that allows a connection."""
    files_of_policies = {
        of(manifest).removeprefix("NetworkPolicy "): path.name
        for path in PLAIN[lab]
        for manifest in read(path)
        if manifest["kind"] == "NetworkPolicy"
    }
    comments = (project(ROOT / lab) / "infra" / "network-policies.yaml").read_text()
    documented = dict(re.findall(r"NetworkPolicy (\S+) is in (\S+\.yaml)", comments))
    assert documented | {"deny-by-default": "network-policies.yaml"} == files_of_policies


@pytest.mark.parametrize("path", files("*/infra/*.yaml", "*.k8s/*.yaml"), ids=name)
def test_every_file_that_a_comment_names_is_in_the_lab(path: Path) -> None:
    comments = "\n".join(line.partition("#")[2] for line in path.read_text().splitlines())
    named = re.findall(r"(?<![\w/.-])([\w./-]*[\w-]+\.yaml)", comments)
    lab = [f"/{name(file)}" for file in files(name(path).split("/")[0])]
    assert [file for file in named if not any(other.endswith(f"/{file}") for other in lab)] == []


# Kustomize


@pytest.mark.parametrize("overlay", [path for paths in OVERLAYS.values() for path in paths], ids=name)
def test_an_overlay_is_short_and_of_current_keys(overlay: Path) -> None:
    text = (overlay / "kustomization.yaml").read_text()
    assert len(text.splitlines()) <= 30
    keys = {"apiVersion", "kind", "namespace", "resources", "components", "images", "replicas", "patches", "labels"}
    assert yaml.safe_load(text).keys() <= keys


@pytest.mark.parametrize("path", files("*.k8s/base/*.yaml", "*.k8s/components/*.yaml"), ids=name)
def test_the_base_and_the_components_say_nothing_of_where(path: Path) -> None:
    for manifest in read(path):
        assert "namespace" not in manifest | manifest.get("metadata", {})
        for entry in manifest.get("labels", []) if "metadata" not in manifest else []:
            assert (entry["includeSelectors"], entry["includeTemplates"]) == (False, True)


@pytest.mark.parametrize("lab", OVERLAYS)
def test_each_component_is_in_prod_or_for_it_and_has_a_page(lab: str) -> None:
    pages = {path.parent.name for path in files(f"{lab}/*.k8s/components/*/README.md")}
    assert pages == {path.parent.name for path in files(f"{lab}/*.k8s/components/*/kustomization.yaml")}
    assert pages == {*OPTIONS, "managed-prometheus"}


@pytest.mark.parametrize("lab", OVERLAYS)
def test_a_release_is_its_digest_its_namespace_and_its_host(lab: str) -> None:
    release = rendered(f"{lab} release")
    text = yaml.safe_dump_all(release)
    assert re.search(r"image: team\.example\.com/\w+@sha256:0{64}\n", text)
    assert "example.com" not in text.replace("team.example.com", "")
    assert {manifest["metadata"]["namespace"] for manifest in release if manifest["kind"] != "Namespace"} == {"team"}
    assert "azmonitoring.coreos.com/v1" in text
    assert " monitoring.coreos.com/v1" not in text


# lab_5's

MEASURES = ROOT / "lab_5"


def test_the_pods_of_an_experiment_break_two_rules_on_purpose_and_no_other() -> None:
    """Their CPU, and their number: both are what it is about."""
    dev = kustomize(FINAL / ".k8s" / "overlays" / "dev")
    once = [manifest for manifest in rendered("final_project dev") if manifest not in dev]
    world = once + kustomize(MEASURES / ".k8s" / "quarter")
    assert [error for manifest in world for error in schema_errors(manifest)] == []
    assert wrong(world) == [
        "Deployment api, container api: a CPU limit below 2, the threads in use",
        "HorizontalPodAutoscaler api: goes down to a single pod",
    ]


def test_dashboards_and_rules_are_what_a_cluster_knows() -> None:
    told = subprocess.run([sys.executable, "-m", "dashboards.rules"], cwd=MEASURES, capture_output=True, check=True)
    given = [*kustomize(MEASURES / ".k8s"), json.loads(told.stdout)]
    assert [manifest["kind"] for manifest in given] == ["ConfigMap", "ConfigMap", "PrometheusRule"]
    assert [error for manifest in given for error in schema_errors(manifest)] == []
    given[-1]["spec"]["groups"][0]["rules"][0]["exprs"] = "up"
    assert schema_errors(given[-1]) == [
        "PrometheusRule objectives: spec.groups.0.rules.0.exprs: Extra inputs are not permitted"
    ]


# Broken copies


@pytest.mark.parametrize(("mix", "what", "path", "value", "sentence"), BROKEN)
def test_a_broken_copy_is_told(mix: str, what: str, path: str, value: object, sentence: str) -> None:
    assert wrong(broken(rendered(mix), what, path, value)) == [sentence]


def test_an_init_container_is_told() -> None:
    """It is a container like others, and so much more is said of a bare one."""
    changed = broken(
        rendered("lab_3"), "Deployment api", "spec.template.spec.initContainers", [{"name": "wait", "image": "a:1"}]
    )
    assert "Deployment api: an init container, and it lives without the cache" in wrong(changed)


def test_no_rule_is_without_a_broken_copy() -> None:
    said = re.findall(r'yield f?"(.+)"', (Path(__file__).parent / "policies.py").read_text())
    told = [sentence for *_, sentence in BROKEN] + ["Deployment api: an init container, and it lives without the cache"]
    patterns = [re.sub(r"\\{.+?\\}", ".+", re.escape(sentence)) for sentence in said]
    assert len(patterns) > 60
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, sentence) for sentence in told)] == []


@pytest.mark.parametrize(("mix", "what", "path", "value", "error"), REFUSED)
def test_what_kubernetes_does_not_know_is_told(mix: str, what: str, path: str, value: object, error: str) -> None:
    changed = broken(rendered(mix), what, path, value)
    assert [told for manifest in changed for told in schema_errors(manifest)] == [f"{what}: {error}"]


@pytest.mark.parametrize("key", ["commonLabels: {a: b}", "bases: [base]"])
def test_an_old_key_of_kustomize_is_told(key: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "kustomization.yaml").write_text("configMapGenerator: [{name: a, literals: [a=b]}]\n")
    (tmp_path / "kustomization.yaml").write_text(f"resources: [base]\n{key}\n")
    with pytest.raises(AssertionError):
        kustomize(tmp_path)
