"""lab_4's scripts for Azure, which the final project has as they are, against stand-ins for az, docker, kubectl and
kubelogin: what they ask for, in an order that works, and what they refuse. No call leaves this machine; the real Azure
CLI, where there is one, checks the words.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from repository import ROOT, dead_url, files, name, without

LAB = ROOT / "lab_4" / "lab4"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
ME = "99999999-8888-7777-6666-555555555555"
DIGEST = "sha256:" + "0123456789abcdef" * 4
CREATE, SHOW, DELETE, PUSH = "infra/azure/create.sh", "infra/azure/show.sh", "infra/azure/delete.sh", "./build-push.sh"
INFRA = [CREATE, SHOW, DELETE]
EACH = [*INFRA, PUSH]
OVERLAY = ".k8s/overlays/release/kustomization.yaml"
MANIFESTS = (LAB / ".k8s" / "README.md").read_text()
TOOLS = ["az", "docker", "kubectl", "kubelogin"]

# A cloud of files: a thing is there when its file is. A step whose ground is missing fails, as it would in Azure.
STAND_IN = r"""
cd "$CLOUD"
call="${0##*/} $*"
printf '%q ' "${0##*/}" "$@" >>calls && echo >>calls
has() { for thing; do [ -e "$thing" ] || { echo "ERROR: (ResourceNotFound) no $thing" >&2; exit 3; }; done; }
change() { # the thing that comes (or, after -, goes), once what it stands on is there
  printf '%q ' "${0##*/}" "${words[@]}" >>changes && echo >>changes
  [ ! -e "stop-at-$1" ] || { rm "stop-at-$1"; echo "ERROR: no luck with $1" >&2; exit 1; }
  if [ -e "wait-at-$1" ]; then echo $$ >waits && exec sleep 60; fi
  touch "$1"
}
words=("$@")
[ ! -e logged-out ] || { echo "ERROR: Please run 'az login' to setup account." >&2; exit 1; }
case $call in
  'az account show'*)
    [ ! -e no-subscription ] || { echo "ERROR: Subscription 'x' not found. Check the spelling." >&2; exit 1; }
    printf 'Azure for Students\nada@example.org\n' ;;
  'az ad signed-in-user show'*) cat me ;;
  'az group exists'*) [ ! -e no-answer ] || { echo 'ERROR: no network' >&2; exit 1; }
    [ -e group ] && echo true || echo false ;;
  'az group create'*) change group ; case $call in *made_by=create.sh*) touch tag ;; esac ;;
  'az group show'*) has group; [ -e tag ] && echo create.sh || echo None ;;
  'az group delete'*\ --yes\ *) change gone; rm -f group tag registry cluster gateway workspace metrics attached role ;;
  'az resource list'*) has group
    [ ! -e registry ] || printf 'Microsoft.ContainerRegistry/registries\tabcregistry\n'
    [ ! -e cluster ] || printf 'microsoft.containerservice/ManagedClusters\tml-systems\n'
    [ ! -e workspace ] || printf 'microsoft.monitor/accounts\tml-systems\n' ;;
  'az acr create'*) has group; change registry ;;
  'az aks create'*) has group; change cluster ;;
  'az aks wait'*) has cluster; change waited ;;
  'az aks show'*serviceMeshProfile.istio.revisions\ *) has cluster; cat revisions ;;
  'az aks show'*) has cluster; echo cluster ;;
  'az aks update'*--attach-acr\ abcregistry*) has cluster registry; change attached ;;
  'az aks mesh enable-ingress-gateway'*) has cluster; change gateway ;;
  'az monitor account create'*) has group; change workspace ;;
  'az aks update'*--enable-azure-monitor-metrics*/Microsoft.Monitor/accounts/ml-systems\ *)
    has cluster workspace; change metrics ;;
  'az role assignment create'*/managedClusters/ml-systems\ *) has cluster; change role ;;
  'az aks get-credentials'*) has cluster; change credentials
    echo clusterUser_ml-systems_ml-systems >context; echo ml-systems >current ;;
  'kubelogin convert-kubeconfig -l azurecli --context ml-systems') has credentials; change kubelogin ;;
  'kubectl config view'*) cat context 2>/dev/null || true ;;
  'kubectl config current-context') cat current 2>/dev/null || exit 1 ;;
  'kubectl config unset current-context') change unset; rm current ;;
  'kubectl config delete-context ml-systems') change delete-context; rm context ;;
  'kubectl config delete-cluster ml-systems') change delete-cluster ;;
  'kubectl config delete-user clusterUser_ml-systems_ml-systems') change delete-user ;;
  'kubectl --context ml-systems get'*) has credentials ;;
  'docker info') [ -e docker ] ;;
  'az acr show'*) has registry; echo abcregistry.azurecr.io ;;
  'az acr repository list'*) has registry ;;
  'az acr login'*) has registry docker; change login ;;
  'docker build'*) has docker; change built ;;
  'docker push'*) has docker login built; change pushed ;;
  'az acr build'*) has registry; change pushed ;;
  'az acr repository show'*) has pushed; cat digest ;;
  *) echo "stand-in: no answer to: $call" >&2; exit 64 ;;
esac
"""


class Lab:
    """A clone of lab_4 with its settings, the cloud that it talks to, and what was said and asked."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.cloud, self.bin = folder / "clone", folder / "cloud", folder / "bin"
        self.root = self.clone / name(LAB)
        self.cloud.mkdir()
        self.bin.mkdir()
        for tool in TOOLS:
            self.stand_in(tool)
        for path in [ROOT / ".gitignore", *files(f"{name(LAB)}/*")]:
            (self.clone / name(path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, self.clone / name(path))
        self.git("init", "--quiet")
        self.commit()
        self.settings = {"SUBSCRIPTION": SUBSCRIPTION, "REGISTRY": "abcregistry"}
        self.has("me", ME)
        self.has("digest", DIGEST)
        self.has("revisions", "asm-1-30")
        self.has("docker")
        self.write_settings()

    def stand_in(self, tool: str) -> None:
        (self.bin / tool).write_text(f"#!{shutil.which('bash')}\n{STAND_IN}")
        (self.bin / tool).chmod(0o755)

    def git(self, *words: str) -> str:
        ada = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", *ada, *words]
        return subprocess.run(command, cwd=self.clone, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "as it is")

    def write_settings(self, **changed: str | None) -> None:
        """The example, filled in; None takes a name out."""
        lines = (LAB / "infra/azure/azure.env.example").read_text().splitlines()
        for key, value in (self.settings | changed).items():
            lines = [
                new
                for line in lines
                for new in ([line] if not line.startswith(f"{key}=") else [] if value is None else [f"{key}={value}"])
            ]
        self.env.write_text("\n".join(lines) + "\n")

    @property
    def env(self) -> Path:
        return self.root / "infra/azure/azure.env"

    def has(self, thing: str, text: str = "") -> None:
        (self.cloud / thing).write_text(text + "\n" if text else "")

    def lacks(self, thing: str) -> None:
        (self.cloud / thing).unlink()

    def things(self) -> set[str]:
        return {path.name for path in self.cloud.iterdir()} - {"calls", "changes"}

    def log(self, which: str) -> list[list[str]]:
        """What was called since this was last asked."""
        path = self.cloud / which
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return [shlex.split(line) for line in text.splitlines()]

    def environment(self) -> dict[str, str]:
        return without(PATH=f"{self.bin}:{os.environ['PATH']}", CLOUD=str(self.cloud))

    def run(
        self, script: str, *words: str, typed: str = "", variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / script, *words],
            cwd=self.clone,  # from anywhere
            env=self.environment() | (variables or {}),
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def done(self, script: str, *words: str, typed: str = "") -> str:
        """What it says, once it has ended well."""
        ended = self.run(script, *words, typed=typed)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def refused(
        self, script: str, *words: str, typed: str = "", status: int = 1, variables: dict[str, str] | None = None
    ) -> str:
        """The one line that it says, having changed nothing."""
        before = self.things()
        ended = self.run(script, *words, typed=typed, variables=variables)
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert self.log("changes") == []
        assert self.things() == before
        said = ended.stderr.splitlines()
        assert len(said) == 1, ended.stderr
        return said[0]

    def create(self) -> None:
        self.done(CREATE, "--yes")
        self.log("calls")
        self.log("changes")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def steps(said: str) -> list[list[str]]:
    """The commands of a dry run."""
    return [shlex.split(line) for line in said.splitlines() if not line.startswith("#")]


def word_after(call: list[str], option: str) -> str:
    return call[call.index(option) + 1]


def one(calls: list[list[str]], *words: str) -> list[str]:
    """The only call that starts with these words."""
    (found,) = [call for call in calls if call[: len(words)] == list(words)]
    return found


# create.sh

MADE = [
    "group",
    "registry",
    "cluster",
    "attached",
    "gateway",
    "workspace",
    "metrics",
    "role",
    "credentials",
    "kubelogin",
]


def test_create_makes_what_the_service_needs_each_thing_after_what_it_stands_on(lab: Lab) -> None:
    lab.done(CREATE, "--yes")
    assert set(MADE) < lab.things()
    assert "tag" in lab.things()


def test_the_cluster_is_one_on_which_the_manifests_work(lab: Lab) -> None:
    lab.done(CREATE, "--yes")
    made = lab.log("changes")
    cluster = one(made, "az", "aks", "create")
    expected = {
        "--resource-group": "ml-systems",
        "--name": "ml-systems",
        "--location": "westeurope",
        "--node-count": "2",
        "--node-vm-size": "Standard_D4s_v5",
        "--revision": "asm-1-30",
        "--network-plugin": "azure",
        "--network-plugin-mode": "overlay",
        "--network-dataplane": "cilium",  # enforces network policies
    }
    assert {option: word_after(cluster, option) for option in expected} == expected
    flags = {"--enable-azure-service-mesh", "--enable-aad", "--enable-azure-rbac", "--disable-local-accounts"}
    assert flags < set(cluster)
    gateway = one(made, "az", "aks", "mesh", "enable-ingress-gateway")
    assert word_after(gateway, "--ingress-gateway-type") == "External"
    role = one(made, "az", "role", "assignment", "create")
    assert word_after(role, "--role") == "Azure Kubernetes Service RBAC Cluster Admin"  # a word of five
    assert word_after(role, "--assignee-object-id") == ME
    assert "--overwrite-existing" in one(made, "az", "aks", "get-credentials")  # or it would ask on a second run
    (metrics,) = [call for call in made if "--enable-azure-monitor-metrics" in call]
    workspace = word_after(metrics, "--azure-monitor-workspace-resource-id")
    assert workspace.startswith(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ml-systems/")


@pytest.mark.parametrize("script", EACH)
def test_every_call_of_az_names_the_subscription(script: str, lab: Lab) -> None:
    if script != CREATE:
        lab.create()
    lab.done(script, *([] if script in (SHOW, PUSH) else ["--yes"]))
    calls = [call for call in lab.log("calls") if call[0] == "az" and call[1] != "ad"]  # az ad knows no subscription
    assert calls
    assert {word_after(call, "--subscription") for call in calls} == {SUBSCRIPTION}


def test_create_says_which_subscription_pays_and_what_it_will_run_before_it_asks(lab: Lab) -> None:
    ended = lab.run(CREATE, typed="no\n")
    before, _ = ended.stdout.split("type yes to run this: ")
    assert f"# subscription Azure for Students ({SUBSCRIPTION}), as ada@example.org\n" in before
    assert steps(before) == steps(lab.done(CREATE, "--dry-run"))


def test_a_second_create_makes_nothing_anew(lab: Lab) -> None:
    lab.create()
    before = lab.things()
    lab.done(CREATE, "--yes")
    assert lab.things() == before | {"waited"}
    made = {" ".join(call[1:3]) for call in lab.log("changes")}
    assert made.isdisjoint({"group create", "acr create", "aks create"})


@pytest.mark.parametrize("thing", MADE)
def test_a_create_that_failed_is_told_and_the_next_one_goes_on(thing: str, lab: Lab) -> None:
    lab.has(f"stop-at-{thing}")
    ended = lab.run(CREATE, "--yes")
    assert ended.returncode == 1
    last = lab.log("changes")[-1]
    told = ended.stderr.splitlines()
    assert told[0] == f"ERROR: no luck with {thing}"
    assert shlex.split(told[1].removeprefix("this failed: ")) == last
    assert len(told) == 2
    lab.done(CREATE, "--yes")
    assert set(MADE) < lab.things()


def test_a_group_that_was_there_gets_no_tag(lab: Lab) -> None:
    lab.has("group")
    lab.create()
    assert "tag" not in lab.things()


def test_a_cluster_with_another_istio_is_left_alone(lab: Lab) -> None:
    lab.create()
    lab.has("revisions", "asm-1-31\nasm-1-32")
    said = lab.refused(CREATE, "--yes")
    assert said == (
        "the cluster ml-systems has Istio asm-1-31 and asm-1-32, "
        "and ISTIO_REVISION in infra/azure/azure.env is asm-1-30"
    )
    lab.has("revisions", "asm-1-30\nasm-1-31")  # while one takes over from the other
    lab.done(CREATE, "--yes")


def test_a_context_of_another_cluster_is_not_overwritten(lab: Lab) -> None:
    lab.has("context", "clusterUser_production_ml-systems")
    assert lab.refused(CREATE, "--yes") == (
        "kubectl has a context ml-systems of another cluster: take another name for CLUSTER in infra/azure/azure.env"
    )


def test_a_question_without_an_answer_ends_it(lab: Lab) -> None:
    """Taken for a no, it would make what is there, or call what is there deleted."""
    lab.has("no-answer")
    for script in INFRA:
        ended = lab.run(script, *([] if script == SHOW else ["--yes"]))
        assert ended.returncode == 1
        assert ended.stderr == "ERROR: no network\naz could not say: az group exists --name ml-systems\n"
        assert lab.log("changes") == []


def test_an_id_of_the_user_that_is_none_is_told(lab: Lab) -> None:
    lab.has("me", "ada; rm -rf .")
    assert lab.refused(CREATE, "--yes") == "az ad signed-in-user show gave no id: 'ada; rm -rf .'"


# show.sh and delete.sh


def test_show_asks_and_changes_nothing(lab: Lab) -> None:
    lab.create()
    before = lab.things()
    said = lab.done(SHOW)
    assert lab.log("changes") == []
    assert lab.things() == before
    for part in ("resource list", "acr repository list", "aks show", "get service aks-istio-ingressgateway-external"):
        assert f" {part} " in said


def test_show_says_when_there_is_nothing(lab: Lab) -> None:
    nothing = "nothing lies in the resource group ml-systems, or there is none: infra/azure/create.sh"
    assert lab.refused(SHOW) == nothing
    lab.has("group")
    assert lab.refused(SHOW) == nothing
    lab.has("registry")
    assert [call[1:3] for call in steps(lab.done(SHOW))[:1]] == [["resource", "list"]]


def test_delete_shows_what_lies_there_and_deletes_it_with_its_context(lab: Lab) -> None:
    lab.create()
    said = lab.done(DELETE, typed="ml-systems\n")
    before, _ = said.split("type ml-systems to run this: ")
    assert "#   Microsoft.ContainerRegistry/registries\tabcregistry\n" in before
    assert lab.things().isdisjoint({"group", "registry", "cluster", "context", "current"})
    assert {"delete-cluster", "delete-user"} < lab.things()


def test_delete_leaves_other_contexts_alone(lab: Lab) -> None:
    lab.create()
    lab.has("context", "clusterUser_production_ml-systems")
    lab.has("current", "production")
    lab.done(DELETE, "--yes")
    assert {call[0] for call in lab.log("changes")} == {"az"}
    assert {"context", "current"} < lab.things()


def test_delete_leaves_another_current_context_current(lab: Lab) -> None:
    lab.create()
    lab.has("current", "production")
    lab.done(DELETE, "--yes")
    assert "current" in lab.things()
    assert "context" not in lab.things()


def test_delete_refuses_a_group_that_create_did_not_make(lab: Lab) -> None:
    lab.has("group")
    lab.create()
    assert lab.refused(DELETE, "--yes") == (
        "the resource group ml-systems was not made by create.sh: delete by hand what is yours in it"
    )


def test_a_second_delete_has_nothing_to_do(lab: Lab) -> None:
    lab.create()
    lab.done(DELETE, "--yes")
    lab.log("changes")
    assert "nothing to delete\n" in lab.done(DELETE, "--yes")
    assert lab.log("changes") == []


def test_delete_takes_the_context_of_a_cluster_that_is_gone(lab: Lab) -> None:
    lab.has("context", "clusterUser_ml-systems_ml-systems")
    lab.done(DELETE, "--yes")
    assert "context" not in lab.things()


@pytest.mark.parametrize("typed", ["", "\n", "no\n", "y\n", "Yes\n", "yes please\n", " \n"])
@pytest.mark.parametrize("script", [CREATE, DELETE])
def test_nothing_is_done_unless_the_word_is_typed(script: str, typed: str, lab: Lab) -> None:
    if script == DELETE:
        lab.create()
    assert lab.refused(script, typed=typed) == "not confirmed: nothing was done"


def test_delete_wants_the_name_and_no_mere_yes(lab: Lab) -> None:
    lab.create()
    assert lab.refused(DELETE, typed="yes\n") == "not confirmed: nothing was done"


# --dry-run


@pytest.mark.parametrize("docker", [True, False], ids=["docker", "no docker"])
@pytest.mark.parametrize("there", [True, False], ids=["all there", "nothing there"])
@pytest.mark.parametrize("script", EACH)
def test_a_dry_run_changes_nothing_and_prints_what_a_real_run_calls(
    script: str, there: bool, docker: bool, lab: Lab
) -> None:
    if there:
        lab.create()
    elif script in (SHOW, PUSH, DELETE):
        lab.has("group")
        lab.has("tag")
        lab.has("registry")
    if not docker:
        lab.lacks("docker")
    before = lab.things()
    printed = steps(lab.done(script, "--dry-run"))
    assert printed
    assert lab.log("changes") == []
    assert lab.things() == before
    assert lab.git("status", "--porcelain", "--ignored") == f"!! {name(LAB)}/infra/azure/azure.env"
    lab.log("calls")
    lab.done(script, *([] if script in (SHOW, PUSH) else ["--yes"]))
    if script == SHOW:
        assert lab.log("calls")[-len(printed) :] == printed
    else:
        assert lab.log("changes") == printed


# What every script refuses


def test_it_is_told_how_to_get_the_settings(lab: Lab) -> None:
    lab.env.unlink()
    for script in EACH:
        said = lab.refused(script)
        assert said == "infra/azure/azure.env is missing: cp infra/azure/azure.env.example infra/azure/azure.env"
        command = said.split(": ")[1]
        subprocess.run(command, shell=True, cwd=lab.root, check=True)  # noqa: S602 # as a reader pastes it
        lab.env.unlink()


NAMES = re.findall(r"^([A-Z_]+)=", (LAB / "infra/azure/azure.env.example").read_text(), re.MULTILINE)


@pytest.mark.parametrize("script", EACH)
def test_the_example_as_it_is_has_nobodys_names(script: str, lab: Lab) -> None:
    shutil.copy(LAB / "infra/azure/azure.env.example", lab.env)
    assert lab.refused(script).startswith("SUBSCRIPTION is missing or empty in infra/azure/azure.env: it is ")


@pytest.mark.parametrize("missing", [None, ""], ids=["missing", "empty"])
@pytest.mark.parametrize("setting", NAMES)
def test_a_missing_setting_is_named(setting: str, missing: str | None, lab: Lab) -> None:
    lab.write_settings(**{setting: missing})
    exported = {setting: "asm-1-30"}  # of no use: only the file counts
    said = lab.refused(CREATE, "--yes", variables=exported)
    assert said.startswith(f"{setting} is missing or empty in infra/azure/azure.env: it is ")


HOSTILE = [
    "$(touch hacked)",
    "`touch hacked`",
    "a;touch hacked",
    "x&&touch hacked",
    "|touch hacked",
    "abcdef>hacked",
    "--yes",
    "-abcdef",
    "'abcdef'",
    '"abcdef"',
    "abc def",
    " abcdef",
    "abcdef ",
    "abcdéf",
    "abc\tdef",
    "../abcdef",
    "a" * 300,
]


@pytest.mark.parametrize("setting", NAMES)
def test_a_value_that_is_no_name_is_told_and_never_run(setting: str, lab: Lab) -> None:
    for value in HOSTILE:
        lab.write_settings(**{setting: value})
        said = lab.refused(CREATE, "--yes")
        assert said.startswith(f"{setting} in infra/azure/azure.env is ")
        assert said.endswith(f", not '{value}'")
    assert lab.log("calls") == []
    assert list(lab.clone.rglob("hacked")) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SUBSCRIPTION", "Azure"),
        ("SUBSCRIPTION", SUBSCRIPTION + "0"),
        ("REGISTRY", "abcd"),
        ("REGISTRY", "abcRegistry"),
        ("REGISTRY", "abcregistry.azurecr.io"),
        ("CLUSTER", "ml-systems-"),
        ("NODES", "0"),
        ("NODES", "two"),
        ("NAMESPACE", "W255"),
        ("DOMAIN", "localhost"),
        ("DOMAIN", "https://example.com"),
        ("DOMAIN", ".example.com"),
        ("ISTIO_REVISION", "asm-1-29"),  # its init container is more than a restricted pod may have
        ("ISTIO_REVISION", "1.30"),
        ("ISTIO_REVISION", "asm-1-3"),
    ],
)
def test_a_value_that_cannot_work_is_told(setting: str, value: str, lab: Lab) -> None:
    lab.write_settings(**{setting: value})
    assert lab.refused(CREATE, "--yes").startswith(f"{setting} in infra/azure/azure.env is ")


def test_a_setting_that_is_there_twice_is_told(lab: Lab) -> None:
    with lab.env.open("a") as settings:
        settings.write("NODES=3\n")
    assert lab.refused(CREATE, "--yes").endswith(", not '2 3'")


def test_settings_from_windows_or_without_a_last_line_end_are_read(lab: Lab) -> None:
    lab.env.write_bytes(lab.env.read_bytes().replace(b"\n", b"\r\n").rstrip())
    lab.create()
    assert set(MADE) < lab.things()


@pytest.mark.parametrize("script", EACH)
def test_who_is_not_logged_in_is_told_how(script: str, lab: Lab) -> None:
    lab.has("logged-out")
    assert lab.refused(script) == "not logged in to Azure: az login"


@pytest.mark.parametrize("script", EACH)
def test_a_subscription_of_somebody_else_is_told(script: str, lab: Lab) -> None:
    lab.has("no-subscription")
    assert lab.refused(script) == (
        f"no subscription {SUBSCRIPTION} for you (SUBSCRIPTION in infra/azure/azure.env): "
        "az account list --output table"
    )


@pytest.mark.parametrize(
    ("script", "tool", "how"),
    [
        *((script, "az", "https://learn.microsoft.com/cli/azure/install-azure-cli") for script in EACH),
        *((script, "kubectl", "az aks install-cli") for script in INFRA),
        (CREATE, "kubelogin", "az aks install-cli"),
        (PUSH, "git", "https://git-scm.com/downloads"),
    ],
)
def test_a_missing_tool_is_told_with_how_to_get_it(script: str, tool: str, how: str, lab: Lab) -> None:
    for there in ("bash", "dirname", "git"):
        (lab.bin / there).symlink_to(shutil.which(there) or pytest.fail(f"no {there} here"))
    (lab.bin / tool).unlink()
    assert lab.refused(script, variables={"PATH": str(lab.bin)}) == f"{tool} is missing: {how}"


@pytest.mark.parametrize("words", [["--dry"], ["help"], [""], ["--yes", "now"], ["--dry-run] [--yes"], ["-y"]])
@pytest.mark.parametrize("script", EACH)
def test_an_unknown_word_gets_the_usage(script: str, words: list[str], lab: Lab) -> None:
    yes = "" if script in (SHOW, PUSH) else " [--yes]"
    assert lab.refused(script, *words, status=2) == f"usage: {script} [--dry-run]{yes}"
    assert lab.log("calls") == []


@pytest.mark.parametrize("script", [SHOW, PUSH])
def test_what_asks_nothing_knows_no_yes(script: str, lab: Lab) -> None:
    assert lab.refused(script, "--yes", status=2) == f"usage: {script} [--dry-run]"


def test_the_shared_part_does_nothing_by_itself(lab: Lab) -> None:
    assert lab.done("infra/azure/azure.sh") == ""
    assert lab.log("calls") == []


# build-push.sh


def overlay(lab: Lab) -> str:
    path = lab.root / OVERLAY
    return path.read_text() if path.exists() else ""


def image(lab: Lab) -> str:
    return f"abcregistry.azurecr.io/{LAB.name}:{lab.git('rev-parse', '--short', 'HEAD')}"


@pytest.fixture
def ready(lab: Lab) -> Lab:
    """A lab whose registry is there."""
    lab.has("group")
    lab.has("registry")
    return lab


def test_the_image_is_built_for_the_nodes_and_named_after_the_commit(ready: Lab) -> None:
    ready.done(PUSH)
    login, build, push = ready.log("changes")
    assert login[:5] == ["az", "acr", "login", "--name", "abcregistry"]
    assert build == ["docker", "build", "--platform", "linux/amd64", "--tag", image(ready), "."]
    assert push == ["docker", "push", image(ready)]


def test_without_docker_the_registry_builds_the_same(ready: Lab) -> None:
    ready.lacks("docker")
    ready.done(PUSH)
    (build,) = ready.log("changes")
    assert build[:3] == ["az", "acr", "build"]
    assert word_after(build, "--registry") == "abcregistry"
    assert word_after(build, "--platform") == "linux/amd64"
    assert word_after(build, "--image") == image(ready).split("/")[1]
    assert "." in build


def test_without_docker_at_all_too(ready: Lab) -> None:
    (ready.bin / "docker").write_text("#!/no/docker/here\n")
    ready.done(PUSH)
    assert [call[:3] for call in ready.log("changes")] == [["az", "acr", "build"]]


def test_the_digest_is_said_and_is_the_registrys(ready: Lab) -> None:
    said = ready.done(PUSH)
    assert f"abcregistry.azurecr.io/{LAB.name}@{DIGEST}\n" in said
    asked = one(ready.log("calls"), "az", "acr", "repository", "show")
    assert word_after(asked, "--name") == "abcregistry"
    assert word_after(asked, "--image") == image(ready).split("/")[1]


def kustomize(folder: Path) -> list[dict[str, Any]]:
    """What kubectl makes of an overlay; any warning is a failure."""
    kubectl = shutil.which("kubectl") or pytest.skip("needs kubectl")
    made = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "")
    return list(yaml.safe_load_all(made.stdout))


def test_the_overlay_deploys_this_image_to_this_namespace_and_host(ready: Lab) -> None:
    ready.write_settings(NAMESPACE="ada-1", DOMAIN="ml.example.org")
    ready.done(PUSH)
    objects = kustomize((ready.root / OVERLAY).parent)
    by_kind = {each["kind"]: each for each in objects}
    (container,) = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"abcregistry.azurecr.io/{LAB.name}@{DIGEST}"
    assert {each["metadata"]["namespace"] for each in objects} == {"ada-1"}
    assert by_kind["Gateway"]["spec"]["servers"][0]["hosts"] == ["ada-1.ml.example.org"]
    assert by_kind["VirtualService"]["spec"]["hosts"] == ["ada-1.ml.example.org"]
    commit = ready.git("rev-parse", "--short", "HEAD")
    assert {each["metadata"]["labels"]["app.kubernetes.io/version"] for each in objects} == {commit}
    left = yaml.safe_dump_all(objects)
    assert [word for word in ("w255", "example.com", "latest") if word in left] == []
    assert by_kind["PodMonitor"]["apiVersion"] == "azmonitoring.coreos.com/v1"  # the only ones the cluster knows


def test_the_overlay_is_as_the_manifests_readme_shows_it(ready: Lab) -> None:
    ready.done(PUSH)
    (shown,) = [text for text in re.findall(r"```yaml\n(.*?)```", MANIFESTS, re.DOTALL) if "newName" in text]
    expected, written = yaml.safe_load(shown), yaml.safe_load(overlay(ready))
    (image,), (label,) = written["images"], written["labels"]
    assert (image["newName"], image["digest"]) == (f"abcregistry.azurecr.io/{LAB.name}", DIGEST)
    for of in (expected, written):
        for value in ("newName", "digest"):
            del of["images"][0][value]
        del of["labels"][0]["pairs"]["app.kubernetes.io/version"]
    assert label["pairs"] == {}
    assert written == expected


def test_a_commit_that_looks_like_a_number_stays_a_word(ready: Lab) -> None:
    (ready.bin / "git").write_text(f"#!{shutil.which('bash')}\n[ $1 = status ] || echo 1234567\n")
    (ready.bin / "git").chmod(0o755)
    ready.done(PUSH)
    assert yaml.safe_load(overlay(ready))["labels"][0]["pairs"] == {"app.kubernetes.io/version": "1234567"}


def test_the_final_projects_manifests_are_one_folder_up(ready: Lab) -> None:
    (ready.root / ".k8s").rename(ready.root.parent / ".k8s")
    ready.commit()
    ready.done(PUSH)
    assert DIGEST in (ready.root.parent / OVERLAY).read_text()


def test_no_manifests_are_told(ready: Lab) -> None:
    shutil.rmtree(ready.root / ".k8s")
    ready.commit()
    assert ready.refused(PUSH).startswith("no .k8s/overlays/prod")


def test_a_second_release_takes_the_place_of_the_first(ready: Lab) -> None:
    ready.done(PUSH)
    ready.has("digest", DIGEST.replace("0", "f"))
    ready.done(PUSH)
    assert DIGEST not in overlay(ready)
    assert DIGEST.replace("0", "f") in overlay(ready)
    assert [path.name for path in (ready.root / OVERLAY).parent.iterdir()] == ["kustomization.yaml"]


def test_the_overlay_is_ignored_by_git_and_leaves_the_tree_clean(ready: Lab) -> None:
    ready.done(PUSH)
    assert ready.git("status", "--porcelain") == ""
    ready.done(PUSH)


@pytest.mark.parametrize("change", ["changed", "new", "staged", "deleted"])
def test_a_tree_with_changes_is_refused(change: str, ready: Lab) -> None:
    if change == "new":
        (ready.root / "notes.txt").write_text("new\n")
    elif change == "deleted":
        (ready.root / "build-push.sh").with_name("infra").joinpath("azure", "show.sh").unlink()
    else:
        with (ready.root / "infra" / "azure" / "show.sh").open("a") as script:
            script.write("# changed\n")
    if change == "staged":
        ready.git("add", "--all")
    assert ready.refused(PUSH) == (
        f"there are changes in {LAB.name} that no commit has, and the image is named after one: git status"
    )
    assert overlay(ready) == ""


def test_changes_elsewhere_in_the_repository_do_not_matter(ready: Lab) -> None:
    (ready.clone / "notes.txt").write_text("new\n")
    ready.done(PUSH)


def test_no_commit_is_told(ready: Lab) -> None:
    shutil.rmtree(ready.clone / ".git")
    ended = ready.run(PUSH, variables={"GIT_CEILING_DIRECTORIES": str(ready.clone.parent)})
    why, said = ended.stderr.splitlines()
    assert (ended.returncode, why.startswith("fatal: not a git repository")) == (1, True)
    assert said == "git does not name the commit, which names the image"


def test_checkout_of_another_owner_gets_the_sentence_of_git(ready: Lab) -> None:
    """GIT_TEST_ASSUME_DIFFERENT_OWNER is git's own switch for this case."""
    ended = ready.run(PUSH, variables={"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    assert ended.returncode == 1
    assert "dubious ownership" in ended.stderr
    assert "safe.directory" in ended.stderr


@pytest.mark.parametrize("configuration", [None, "", "apiVersion: v1\nkind: Config\n"])
@pytest.mark.parametrize("script", INFRA)
def test_scripts_work_without_a_context_with_the_real_kubectl(
    script: str, configuration: str | None, lab: Lab, tmp_path: Path
) -> None:
    """Nobody has a configuration of kubectl before the first cluster."""
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl")
    (lab.bin / "kubectl").unlink()
    lab.has("group")
    lab.has("tag")
    lab.has("registry")
    if configuration is not None:
        (tmp_path / "config").write_text(configuration)
    ended = lab.run(script, "--dry-run", variables={"KUBECONFIG": str(tmp_path / "config")})
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_registry_is_told(lab: Lab) -> None:
    ended = lab.run(PUSH)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("az could not say: az acr show --name abcregistry")
    assert lab.log("changes") == []


@pytest.mark.parametrize("digest", ["", "None", "sha256:abc", DIGEST + "\n" + DIGEST])
def test_a_digest_that_is_none_is_told_and_not_written(digest: str, ready: Lab) -> None:
    ready.has("digest", digest)
    ended = ready.run(PUSH)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"the registry gave no digest of {image(ready)}: '")
    assert overlay(ready) == ""


@pytest.mark.parametrize("thing", ["login", "built", "pushed"])
def test_a_build_or_push_that_failed_leaves_the_last_release_as_it_was(thing: str, ready: Lab) -> None:
    ready.done(PUSH)
    before = overlay(ready)
    ready.has("digest", DIGEST.replace("0", "f"))
    ready.has(f"stop-at-{thing}")
    ended = ready.run(PUSH)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[1].startswith("this failed: ")
    assert overlay(ready) == before


# Ctrl-C


@pytest.mark.parametrize(
    ("script", "words", "thing"),
    [(CREATE, ["--yes"], "cluster"), (DELETE, ["--yes"], "gone"), (PUSH, [], "built")],
)
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_when_it_is_stopped_no_step_follows_and_nothing_is_left(
    script: str, words: list[str], thing: str, stop: signal.Signals, lab: Lab
) -> None:
    if script != CREATE:
        lab.create()
    files_before = {path for path in lab.clone.rglob("*") if ".git" not in path.parts}
    lab.has(f"wait-at-{thing}")
    process = subprocess.Popen(
        [lab.root / script, *words],
        env=lab.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for _ in range(3000):
            if (lab.cloud / "waits").exists():
                break
            time.sleep(0.01)
        done = len(lab.log("changes"))
        os.killpg(process.pid, stop)
        assert process.wait(timeout=30) == 128 + stop
        assert done > 0
        assert lab.log("changes") == []
        assert thing not in lab.things()
        assert {path for path in lab.clone.rglob("*") if ".git" not in path.parts} == files_before
        with pytest.raises((ProcessLookupError, PermissionError)):  # macOS has the second
            os.killpg(process.pid, 0)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


# The real Azure CLI: its parser refuses what it does not know (exit 2) before it misses a login (exit 1)


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which nobody is logged in, and no address can be reached."""
    if shutil.which("az") is None:
        pytest.skip("needs the Azure CLI")
    return without(
        AZURE_CONFIG_DIR=str(tmp_path_factory.mktemp("azure")),
        AZURE_CORE_COLLECT_TELEMETRY="no",
        AZURE_EXTENSION_USE_DYNAMIC_INSTALL="no",
        HTTPS_PROXY=dead_url(),
        HTTP_PROXY=dead_url(),
        PYTHONWARNINGS="ignore",
    )


def parse(line: str, folder: Path, azure: dict[str, str]) -> tuple[int, str]:
    """A line as a reader pastes it."""
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=azure, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def lines(lab: Lab, script: str) -> list[str]:
    """What a dry run prints for the real CLI, and the questions that it asked before."""
    printed = lab.done(script, "--dry-run").splitlines()
    return [line for line in printed if line.startswith("az ")] + [
        shlex.join(call) for call in lab.log("calls") if call[0] == "az"
    ]


def test_the_azure_cli_knows_every_line(azure: dict[str, str], lab: Lab) -> None:
    found = lines(lab, CREATE)
    lab.create()
    found += [line for script in (CREATE, SHOW, DELETE, PUSH) for line in lines(lab, script)]
    lab.lacks("docker")
    found += lines(lab, PUSH)
    lab.done(PUSH)
    found += [shlex.join(call) for call in lab.log("calls") if call[0] == "az"]
    for path in (lab.root / "infra/azure").iterdir():  # what is said to a reader
        found += re.findall(
            r"(?:: |\()(az (?!.*install-cli)[a-z][A-Za-z -]+[A-Za-z])(?:$|\))", path.read_text(), re.MULTILINE
        )
    told = {}
    for line in dict.fromkeys(found):
        status, said = parse(line, lab.root, azure)
        if status == 2 or "az login" not in said:
            told[line] = f"exit {status}: {said}"
    assert told == {}


@pytest.mark.parametrize(
    "line",
    [
        "az aks create --name c --resource-group g --netwrok-plugin azure",
        "az aks create --name c --resource-group g --network-dataplane calico",
        "az aks meshes enable-ingress-gateway --name c --resource-group g",
        "az group create --name g",
    ],
)
def test_the_azure_cli_tells_a_wrong_line(line: str, azure: dict[str, str], tmp_path: Path) -> None:
    status, said = parse(line, tmp_path, azure)
    assert status == 2, said
