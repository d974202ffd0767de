"""lab_4's scripts for Azure. Fakes of the programs record the calls, and the real Azure CLI parses them."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from repository import ROOT, files, without
from scripts import commands

SETTINGS = (ROOT / "lab_4/lab4/infra/azure/azure.env.example").read_text()
UUID = "11111111-2222-3333-4444-555555555555"
OWN_SETTINGS = f"SUBSCRIPTION={UUID}\nREGISTRY=myregistry\nCLUSTER=mlops\nNAMESPACE=ada\nDOMAIN=ml.example.org\n"
DIGEST = "sha256:" + "0123456789abcdef" * 4

# The fake of each program. STATE says what exists on Azure and on this machine.
FAKE = r"""
printf '%q ' "${0##*/}" "$@" >>"$CALLS"; echo >>"$CALLS"
is() { [[ " ${STATE:-} " = *" $1 "* ]]; }
case "${0##*/} $*" in
  'az account show'*) if is logged-out; then echo 'ERROR: az login' >&2; exit 1; fi; echo 'Azure, user ada' ;;
  'az ad signed-in-user show'*) echo UUID ;;
  'az group exists'*) if is created; then echo true; else echo false; fi ;;
  'az group show'*) if is by-hand; then echo None; else echo create.sh; fi ;;
  'az resource list'*tsv)
    printf 'Microsoft.%s\n' $'ContainerRegistry/registries\tmyregistry' $'containerservice/managedclusters\tmlops' ;;
  'az aks show'*tsv) if is old-istio; then echo asm-1-29; else echo asm-1-30; fi ;;
  'az acr show'*) echo myregistry.azurecr.io ;;
  'az acr repository show '*) is pushed || grep -qe 'docker push' -e 'acr build' "$CALLS" || exit 3; echo DIGEST ;;
  'docker info') ! is no-docker ;;
  'docker push'*) ! is push-fails ;;
  'kubectl config view'*) if is other; then echo other; elif is created; then echo clusterUser_ml-systems_mlops; fi ;;
  'kubectl config current-context') if is other; then echo other; else echo mlops; fi ;;
  'kubectl --context mlops get namespace'*) ! is no-access || exit 1; if is other-owner; then echo ada=; fi ;;
  'kubectl --context mlops apply --filename -') grep -q '^  name: ada$' ;;
  *'get service aks-istio-ingressgateway-external --output'*) echo 192.0.2.1 ;;
esac
""".replace("UUID", UUID).replace("DIGEST", DIGEST)
QUERY = re.compile(
    r"az (account show|ad signed-in-user show|group (exists|show)|resource list|aks show|acr show|acr repository)"
    r"|docker info|kubectl (config (view|current-context)|--context mlops .*\bget )"
)
RUNS = {  # the start of each call that changes something
    "infra/azure/create.sh --yes": "az group create --name ml-systems --location westeurope --tags made_by=create.sh, "
    "az acr create, az aks create, az aks update, az aks mesh, az monitor account create, az aks update, "
    "az role assignment create, az aks get-credentials, kubelogin",
    "STATE=created infra/azure/create.sh --yes": "az aks wait, az aks update, az aks mesh, az monitor account create, "
    "az aks update, az role assignment create, az aks get-credentials, kubelogin",
    "STATE=created infra/azure/show.sh": "",
    "STATE=created infra/azure/delete.sh <<<ml-systems": "az group delete --name ml-systems, "
    "kubectl config unset current-context, kubectl config delete-context mlops, "
    "kubectl config delete-cluster mlops, kubectl config delete-user clusterUser_ml-systems_mlops",
    "STATE='created other' infra/azure/delete.sh --yes": "az group delete --name ml-systems",
    "./build-push.sh": "az acr login, docker build --platform linux/amd64, docker push myregistry.azurecr.io/lab4:",
    "STATE=no-docker ./build-push.sh": "az acr build --registry myregistry --platform linux/amd64 --image lab4:",
    "STATE=pushed ./build-push.sh": "",
    "../run.sh aks --yes": "kubectl apply --filename -, kubectl label namespace ada istio.io/rev=asm-1-30, "
    "kubectl --namespace ada apply --filename infra/network-policies.yaml --filename infra/redis.yaml, "
    "kubectl apply --kustomize .k8s/overlays/release, kubectl --namespace ada rollout status deployment/redis, "
    "kubectl --namespace ada rollout status deployment/api, curl, curl, curl",
}
REFUSALS = {  # the message
    "infra/azure/create.sh --dry": "usage: infra/azure/create.sh [--dry-run] [--yes]",
    "infra/azure/create.sh <<<y": "not confirmed: nothing was changed",
    "STATE=created infra/azure/delete.sh <<<yes": "not confirmed: nothing was changed",
    "STATE='created by-hand' infra/azure/delete.sh --yes": "create.sh did not create the resource group ml-systems",
    "STATE=other infra/azure/create.sh --yes": "kubectl has a context mlops of another cluster",
    "STATE=logged-out ./build-push.sh": f"no access to subscription {UUID}: run az login",
    "rm infra/azure/azure.env; infra/azure/show.sh": "cp infra/azure/azure.env.example infra/azure/azure.env",
    "touch new.txt; ./build-push.sh": "lab4 has uncommitted changes; commit them first",
    "GIT_TEST_ASSUME_DIFFERENT_OWNER=1 ./build-push.sh": "safe.directory",  # git's own switch, and its error
    "STATE=other ../run.sh aks --yes": "kubectl's current context is other, not CLUSTER",
    "STATE=other-owner ../run.sh aks --yes": "the namespace ada belongs to another project",
    "rm -r .k8s/overlays/release; ../run.sh aks --yes": "kustomization.yaml is missing: run ./build-push.sh",
    "echo DOMAIN=b.org >>infra/azure/azure.env; ../run.sh aks --yes": "is for another NAMESPACE or DOMAIN",
    "STATE='created old-istio' infra/azure/create.sh --yes": "has Istio asm-1-29",
    "STATE=no-access ../run.sh aks --yes": "kubectl cannot connect to cluster mlops",
}


class Lab:
    """A commit of lab_4's scripts and manifests with its settings, and the fakes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.log = folder / "lab_4/lab4", folder / "bin", folder / "calls"
        for path in files(".gitignore", "lab_4/run.sh", "lab_4/lab4/*.sh", "lab_4/lab4/infra", "lab_4/lab4/.k8s"):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        for command in ("init", "add .", "-c user.name=a -c user.email=a -c commit.gpgsign=false commit --message a"):
            subprocess.run(["git", *command.split()], cwd=folder, check=True, capture_output=True)
        (self.folder / "infra/azure/azure.env").write_text(SETTINGS + OWN_SETTINGS)
        self.path = commands(self.bin, **dict.fromkeys(("az", "curl", "docker", "kubectl", "kubelogin"), FAKE))
        assert self.run("./build-push.sh").returncode == 0  # deploy.sh needs a release

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        environment = without(PATH=f"{self.path}:{os.environ['PATH']}", CALLS=str(self.log))
        return subprocess.run(["bash", "-c", line], cwd=self.folder, env=environment, capture_output=True, text=True)

    def calls(self) -> list[str]:
        return [shlex.join(shlex.split(line)) for line in self.log.read_text().splitlines()]

    def changes(self) -> list[str]:
        return [call.replace(" --context mlops", "") for call in self.calls() if not QUERY.match(call)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.mark.parametrize(("line", "expected"), RUNS.items(), ids=RUNS)
def test_dry_run_prints_the_commands_of_a_real_run_and_changes_nothing(lab: Lab, line: str, expected: str) -> None:
    dry = lab.run(f"{line.removesuffix(' --yes')} --dry-run")
    assert (dry.returncode, dry.stderr, lab.changes()) == (0, "", [])
    real = lab.run(line)
    assert (real.returncode, real.stderr) == (0, "")
    printed = [text for text in dry.stdout.splitlines() if not text.startswith("#")]
    assert printed == [text[2:] for text in real.stdout.splitlines() if text.startswith("+ ")]
    starts = expected.split(", ") if expected else []
    assert [call[: len(start)] for call, start in zip(lab.changes(), starts, strict=True)] == starts
    assert [call for call in lab.calls() if re.match("az (?!ad )", call) and f"--subscription {UUID}" not in call] == []


@pytest.mark.parametrize(("line", "message"), REFUSALS.items(), ids=REFUSALS)
def test_refusal_gives_the_reason_and_changes_nothing(lab: Lab, line: str, message: str) -> None:
    result = lab.run(line)
    assert result.returncode == (2 if message.startswith("usage") else 1)
    assert message in result.stderr
    assert lab.changes() == []


def test_failing_command_ends_the_run(lab: Lab) -> None:
    result = lab.run("STATE=push-fails ./build-push.sh")
    assert (result.returncode, "docker push" in result.stderr) == (1, True)
    assert lab.changes()[-1].startswith("docker push")


@pytest.mark.parametrize("setting", re.findall(r"^([A-Z_]+)=", SETTINGS, re.MULTILINE))
def test_invalid_setting_is_reported_and_never_executed(lab: Lab, setting: str) -> None:
    for value in ("", "$(touch hacked)", "a;touch hacked", "--yes"):
        result = lab.run(f"echo '{setting}={value}' >>infra/azure/azure.env; infra/azure/create.sh --yes")
        assert result.stderr.startswith(f"{setting} in infra/azure/azure.env must be ")
        assert (result.returncode, lab.calls(), [*lab.folder.glob("hacked")]) == (1, [], [])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("prepare", ["true", ": >config", "echo 'kind: Config' >config"])
def test_scripts_work_before_kubectl_has_a_context(lab: Lab, prepare: str) -> None:
    (lab.bin / "kubectl").unlink()  # the real kubectl
    for script in ("create", "show", "delete"):
        result = lab.run(f"{prepare}; KUBECONFIG=config STATE=created infra/azure/{script}.sh --dry-run")
        assert (result.returncode, result.stderr) == (0, "")


def test_release_overlay_is_the_one_that_the_manifests_page_shows(lab: Lab) -> None:
    (shown,) = re.findall(r"```yaml\n([^`]*newName[^`]*)```", (lab.folder / ".k8s/README.md").read_text())
    written = (lab.folder / ".k8s/overlays/release/kustomization.yaml").read_text()
    assert f"digest: {DIGEST}\n" in written
    written = written.replace("ada.ml.example.org", "w255.example.com").replace("namespace: ada", "namespace: w255")
    pages = [yaml.safe_load(re.sub(r'sha256:\S+|"\w+"', "X", page)) for page in (shown, written)]
    assert pages[0] == pages[1]


@pytest.mark.skipif(shutil.which("az") is None, reason="the Azure CLI is not installed")
def test_azure_cli_parses_every_command_and_rejects_an_unknown_value(lab: Lab) -> None:
    calls = {call for line in RUNS if lab.run(line) for call in lab.calls() if call.startswith("az ")}
    assert len(calls) > 20
    (lab.bin / "az").unlink()  # the real Azure CLI, without a login: it parses a command before it needs one
    offline = "AZURE_CONFIG_DIR=. AZURE_CORE_COLLECT_TELEMETRY=no HTTPS_PROXY=http://127.0.0.1:9 "
    results = {call: lab.run(offline + call) for call in sorted(calls)}
    assert {call: result.stderr for call, result in results.items() if "az login" not in result.stderr} == {}
    assert lab.run(f"{offline} az aks create --name c --resource-group g --network-dataplane calico").returncode == 2
