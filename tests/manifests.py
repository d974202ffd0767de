"""The manifests as Kubernetes would get them: the plain ones of each lab's infra/, and the overlays of its .k8s/ with
every mix of components, rendered."""

import copy
import functools
import importlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pydantic
import pytest
import yaml

from repository import LABS, files

Manifest = dict[str, Any]
KUBERNETES = "1.34"
MODELS = {
    "networking.istio.io/v1": "cloudcoil.models.istio.networking.v1",
    "security.istio.io/v1": "cloudcoil.models.istio.security.v1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
    "azmonitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",  # Azure's copy of the same kinds
}
OPTIONS = ["istio", "hpa", "monitoring"]
# What an overlay around prod looks like that build-push.sh writes
RELEASE = """
namespace: team
images:
  - {{name: registry.example.com/{image}, newName: team.example.com/{image}, digest: "sha256:{digest}"}}
labels:
  - {{pairs: {{app.kubernetes.io/version: 1a2b3c4}}, includeTemplates: true}}
patches:
  - target: {{group: networking.istio.io, kind: Gateway, name: api}}
    patch: |
      - {{op: replace, path: /spec/servers/0/hosts/0, value: team.example.com}}
  - target: {{group: networking.istio.io, kind: VirtualService, name: api}}
    patch: |
      - {{op: replace, path: /spec/hosts/0, value: team.example.com}}
"""

PLAIN = {lab.name: found for lab in LABS if (found := files(f"{lab.name}/*/infra/*.yaml"))}
OVERLAYS = {
    lab.name: [path.parent for path in found]
    for lab in LABS
    if (found := files(f"{lab.name}/*.k8s/overlays/*/kustomization.yaml"))
}


def read(path: Path) -> list[Manifest]:
    return [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]


def kustomize(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of it. Any word on stderr is a failure: that is where warnings are."""
    kubectl = shutil.which("kubectl") or pytest.skip("needs kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, f"kubectl kustomize {folder}: {done.stderr}"
    assert done.stderr == ""
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def around(overlay: Path, components: list[str], more: str) -> list[Manifest]:
    """An overlay outside git that adds components to one that is in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        paths = [overlay, *(overlay.parents[1] / "components" / component for component in components)]
        resource, *rest = [os.path.relpath(path, folder) for path in paths]
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump({"resources": [resource], "components": rest} | yaml.safe_load(more))
        )
        return kustomize(folder)


def mixes() -> list[str]:
    """All that can stand in one namespace: `lab_3`, `lab_4 dev`, `lab_4 dev istio+hpa`, `lab_4 release`, ...

    The final project's dev has an autoscaler already.
    """
    found = [lab for lab in PLAIN if lab not in OVERLAYS]
    for lab, overlays in OVERLAYS.items():
        found += [f"{lab} {overlay.name}" for overlay in overlays] + [f"{lab} release"]
        (dev,) = (read(path / "kustomization.yaml")[0] for path in overlays if path.name == "dev")
        options = [option for option in OPTIONS if f"../../components/{option}" not in dev.get("components", [])]
        for count in range(1, len(options) + 1):
            found += [f"{lab} dev {'+'.join(mix)}" for mix in itertools.combinations(options, count)]
        found += [f"{lab} dev monitoring+managed-prometheus"]
    return found


@functools.cache
def _rendered(mix: str) -> list[Manifest]:
    lab, overlay, components, *_ = [*mix.split(), "", ""]
    plain = [manifest for path in PLAIN[lab] for manifest in read(path)]
    if not overlay:
        return plain
    folders = {path.name: path for path in OVERLAYS[lab]}
    if overlay == "release":
        more = RELEASE.format(image=prod_image(lab), digest="0" * 64)
        applied = around(folders["prod"], ["managed-prometheus"], more)
    elif components:
        applied = around(folders[overlay], components.split("+"), "namespace: w255")
    else:
        applied = kustomize(folders[overlay])
    for manifest in plain:
        if manifest["kind"] != "Namespace":  # as kubectl --namespace does
            manifest["metadata"]["namespace"] = applied[0]["metadata"]["namespace"]
    return plain + applied


def prod_image(lab: str) -> str:
    """Of registry.example.com."""
    prod = next(path for path in OVERLAYS[lab] if path.name == "prod") / "kustomization.yaml"
    name: str = read(prod)[0]["images"][0]["newName"]
    return name.removeprefix("registry.example.com/")


def rendered(mix: str) -> list[Manifest]:
    """A copy of one's own, to break."""
    return copy.deepcopy(_rendered(mix))


def name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


@functools.cache
def model(version: str, kind: str) -> type[pydantic.BaseModel]:
    """The model of a kind that Kubernetes itself does not have, with unknown fields refused."""
    importlib.import_module("cloudcoil.pydantic").BaseModel.model_config["extra"] = "forbid"  # before what inherits it
    found: type[pydantic.BaseModel] = getattr(importlib.import_module(MODELS[version]), kind)
    return found


def schema_errors(manifest: Manifest) -> list[str]:
    """What the API server would not take, and what it would drop without a word: unknown fields."""
    return _schema_errors(json.dumps(manifest))


@functools.cache
def _schema_errors(text: str) -> list[str]:
    manifest = json.loads(text)
    try:
        if manifest["apiVersion"] in MODELS:
            version = manifest["apiVersion"].removeprefix("az")
            model(manifest["apiVersion"], manifest["kind"]).model_validate(manifest | {"apiVersion": version})
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except pydantic.ValidationError as invalid:
        return [f"{name(manifest)}: {'.'.join(map(str, error['loc']))}: {error['msg']}" for error in invalid.errors()]
    except kubernetes_validate.ValidationError as invalid:
        return [f"{name(manifest)}: {'.'.join(map(str, invalid.path))}: {invalid.message}"]
    except kubernetes_validate.SchemaNotFoundError as unknown:
        return [f"{name(manifest)}: {unknown.message}"]
    return []


def broken(manifests: list[Manifest], what: str, path: str, value: object) -> list[Manifest]:
    """With one thing set (`spec.ports.0.name`, dots in a key as `~`), or taken out where the value is `...`; with no
    path it is the whole manifest that goes or comes."""
    if not path:
        return [manifest for manifest in [*manifests, value] if isinstance(manifest, dict) and name(manifest) != what]
    place: Any = next(manifest for manifest in manifests if name(manifest) == what)
    keys: list[Any] = [int(key) if key.isdigit() else key.replace("~", ".") for key in path.split(".")]
    *way, last = keys
    for key in way:
        place = place[key] if isinstance(key, int) else place.setdefault(key, {})
    if value is ...:
        del place[last]
    elif isinstance(place, list):
        place[last : last + 1] = [value]
    else:
        place[last] = value
    return manifests
