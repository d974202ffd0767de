"""The manifests as the API server receives them, and the check of their schemas."""

import functools
import importlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from repository import ROOT, files

Manifest = dict[str, Any]
K8S = {"lab_4": ROOT / "lab_4" / "lab4" / ".k8s", "final_project": ROOT / "final_project" / ".k8s"}
BUILDS = ["lab_3"] + [f"{lab} {overlay}" for lab in K8S for overlay in ("dev", "prod", "release")]
COMPONENTS = ("istio", "monitoring+istio", "monitoring+managed-prometheus")
BUILDS += ["lab_4 autoscaling", "final_project autoscaling"] + [f"lab_4 dev {components}" for components in COMPONENTS]
MODELS = {
    "networking.istio.io/v1": "cloudcoil.models.istio.networking.v1",
    "security.istio.io/v1": "cloudcoil.models.istio.security.v1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}


def infra_manifests(lab: str) -> list[Manifest]:
    return [manifest for path in files(f"{lab}/*/infra/*.yaml") for manifest in yaml.safe_load_all(path.read_text())]


def kustomize(folder: Path) -> list[Manifest]:
    """The output of `kubectl kustomize`, which must print no warning."""
    kubectl = shutil.which("kubectl") or pytest.skip("kubectl is not installed")
    result = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), folder
    return list(yaml.safe_load_all(result.stdout))


@functools.cache
def render(build: str) -> str:
    lab, overlay, components = [*build.split(), "", ""][:3]
    if not overlay:
        return json.dumps(infra_manifests(lab))
    paths = [f"../../components/{component}" for component in components.split("+") if component]
    namespace = {"namespace": "w255"} if components else {}  # for the objects of the components
    text = json.dumps(namespace | {"resources": [f"../{overlay}"], "components": paths})
    if overlay == "release":  # build-push.sh writes it, and the last YAML block of the page shows it
        text = (K8S[lab] / "README.md").read_text().split("```yaml\n")[-1].split("```")[0]
        text = text.replace("w255.example.com", "team.test").replace("w255", "team").replace("...", "0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        target = shutil.copytree(K8S[lab], Path(folder) / ".k8s") / "overlays" / "generated"
        target.mkdir()
        (target / "kustomization.yaml").write_text(text)
        return json.dumps(infra_manifests(lab) + kustomize(target))


def rendered(build: str) -> list[Manifest]:
    """All objects of a namespace. Examples: `lab_3`, `lab_4 prod`, `lab_4 dev monitoring+istio`, `lab_4 release`."""
    return list(json.loads(render(build)))


def name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def validate(manifests: list[Manifest]) -> None:
    """Raises an exception if a strict API server would reject a manifest, for example because of an unknown field."""
    # Before the import of the models, because they inherit this setting.
    importlib.import_module("cloudcoil.pydantic").BaseModel.model_config["extra"] = "forbid"
    for manifest in manifests:
        version = manifest["apiVersion"].removeprefix("az")  # the API groups of managed Prometheus have the same kinds
        if version in MODELS:
            model = getattr(importlib.import_module(MODELS[version]), manifest["kind"])
            model.model_validate(manifest | {"apiVersion": version})
        else:
            kubernetes_validate.validate(manifest, "1.34", strict=True)
