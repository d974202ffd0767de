"""`./run.sh aks` of lab_4, which the final project has as it is, with the stand-ins of test_azure.py: what it shows, in
which order it deploys, what it refuses."""

import shlex
from pathlib import Path

import pytest
import yaml

from repository import ROOT, name
from test_azure import DIGEST, PUSH, Lab, one, steps

DEPLOY = "infra/azure/deploy.sh"
RUN = f"{name(ROOT / 'lab_4')}/run.sh"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A clone with a cluster and a release, and a kubectl and a curl that take what is right."""
    lab = Lab(tmp_path)
    lab.create()
    lab.done(PUSH)
    lab.log("calls")
    lab.log("changes")
    answers = """
case "$call" in
  *' get namespace '*' --ignore-not-found '*) [ ! -e shut-out ] || exit 1; cat found 2>/dev/null || true ;;
  *' apply --filename -') change namespace; cat >namespace ;;
  *' label namespace w255 istio.io/rev=asm-1-30 --overwrite') has namespace; change labelled ;;
  *' apply --filename infra/network-policies.yaml --filename infra/redis.yaml') has namespace labelled; change redis ;;
  *' apply --kustomize .k8s/overlays/release') has namespace labelled redis; change api ;;
  *' rollout status deployment/'*) has redis api; change rolled-out ;;
  *' get service aks-istio-ingressgateway-external'*) printf 192.0.2.1 ;;
  *' --resolve w255.example.com:80:192.0.2.1 '*) has rolled-out; change asked; echo 'HTTP/1.1 200 OK' ;;
  *) printf 'stand-in: no answer to: %s\\n' "$call" >&2; exit 64 ;;
esac
"""
    for tool in ("kubectl", "curl"):
        lab.stand_in(tool)
        text = (lab.bin / tool).read_text()
        head, rest = text.split("case $call in\n", 1)
        context = "case $call in 'kubectl config current-context') cat current 2>/dev/null; exit ;; esac\n"
        (lab.bin / tool).write_text(head + context + answers)
        assert rest
    return lab


def test_it_deploys_each_thing_after_what_it_stands_on_and_asks_the_service(lab: Lab) -> None:
    said = lab.done(DEPLOY, "--yes")
    made = lab.log("changes")
    assert [call[0] for call in made].count("curl") == 3
    assert {word for call in made for word in call if word.startswith("http://")} == {
        "http://w255.example.com/health",
        "http://w255.example.com/predict",
    }
    assert all(call[:3] == ["kubectl", "--context", "ml-systems"] for call in made if call[0] == "kubectl")
    assert "it answers as http://w255.example.com once that name leads to 192.0.2.1" in said


def test_the_namespace_is_that_of_the_settings_with_the_labels_that_restrict_it(lab: Lab) -> None:
    lab.write_settings(NAMESPACE="ada-2")
    lab.done(PUSH)
    lab.log("changes")
    lab.has("labelled")
    ended = lab.run(DEPLOY, "--yes")
    namespace = yaml.safe_load((lab.cloud / "namespace").read_text())
    assert namespace["metadata"]["name"] == "ada-2"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "this failed: kubectl --context ml-systems label namespace ada-2 istio.io/rev=asm-1-30" in ended.stderr


def test_it_shows_where_and_what_before_it_asks_and_nothing_else_is_done(lab: Lab) -> None:
    ended = lab.run(DEPLOY, typed="no\n")
    assert ended.returncode == 1
    assert ended.stderr == "not confirmed: nothing was done\n"
    assert lab.log("changes") == []
    before, _ = ended.stdout.split("type yes to run this: ")
    assert f"# context ml-systems, namespace w255, host w255.example.com, image {DIGEST}\n" in before
    assert steps(before) == steps(lab.done(DEPLOY, "--dry-run"))
    assert lab.log("changes") == []


def test_a_dry_run_prints_what_a_run_runs(lab: Lab) -> None:
    printed = [line for line in lab.done(DEPLOY, "--dry-run").splitlines() if not line.startswith("#")]
    ran = [line.removeprefix("$ ") for line in lab.done(DEPLOY, "--yes").splitlines() if line.startswith("$ ")]
    assert printed == ran


@pytest.mark.parametrize("thing", ["labelled", "redis", "api", "rolled-out", "asked"])
def test_a_step_that_fails_is_the_last(thing: str, lab: Lab) -> None:
    lab.has(f"stop-at-{thing}")
    ended = lab.run(DEPLOY, "--yes")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("this failed: ")
    assert thing not in lab.things()


def test_another_current_context_is_refused(lab: Lab) -> None:
    """Whoever looks at production must not deploy a lab to a cluster beside it by habit."""
    lab.has("current", "production")
    assert lab.refused(DEPLOY, "--yes") == (
        "kubectl's current context is production, not ml-systems of infra/azure/azure.env: "
        "kubectl config use-context ml-systems"
    )


def test_a_namespace_that_is_not_the_labs_is_left_alone(lab: Lab) -> None:
    lab.has("found", "w255=")
    assert lab.refused(DEPLOY, "--yes") == (
        "there is a namespace w255 that is not this lab's: take another name for NAMESPACE in infra/azure/azure.env"
    )
    lab.has("found", "w255=ml-systems")
    lab.done(DEPLOY, "--yes")


def test_a_cluster_that_lets_nobody_in_is_told(lab: Lab) -> None:
    lab.has("shut-out")
    assert lab.refused(DEPLOY, "--yes") == (
        "kubectl does not get through to ml-systems; after create.sh Azure takes up to five minutes to let you in"
    )


def test_no_release_is_told_and_so_is_one_for_another_namespace(lab: Lab) -> None:
    lab.write_settings(NAMESPACE="other")
    assert "is for another NAMESPACE than infra/azure/azure.env: ./build-push.sh" in lab.refused(DEPLOY, "--yes")
    (lab.root / ".k8s/overlays/release/kustomization.yaml").unlink()
    assert lab.refused(DEPLOY) == "no .k8s/overlays/release/kustomization.yaml: ./build-push.sh writes it"


def test_the_final_projects_release_is_one_folder_up(lab: Lab) -> None:
    (lab.root / ".k8s").rename(lab.root.parent / ".k8s")
    assert "apply --kustomize ../.k8s/overlays/release\n" in lab.done(DEPLOY, "--dry-run")
    (lab.root.parent / ".k8s/overlays/release/kustomization.yaml").unlink()
    assert lab.refused(DEPLOY) == "no ../.k8s/overlays/release/kustomization.yaml: ./build-push.sh writes it"


def test_run_sh_aks_is_this_script(lab: Lab) -> None:
    (lab.clone / "lab_4" / "run.sh").write_bytes((ROOT / RUN).read_bytes())
    (lab.clone / "lab_4" / "run.sh").chmod(0o755)
    said = lab.done("../run.sh", "aks", "--dry-run")
    assert steps(said) == steps(lab.done(DEPLOY, "--dry-run"))
    assert one(steps(said), "kubectl", "--context", "ml-systems", "apply") == shlex.split(
        "kubectl --context ml-systems apply --kustomize .k8s/overlays/release"
    )
    assert lab.refused("../run.sh", "aks", "--forse", status=2) == "usage: ./run.sh aks [--dry-run] [--yes]"
