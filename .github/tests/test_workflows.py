"""What a push runs: safe workflows that cover every lab, and call the scripts that a person calls."""

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from repository import LABS, ROOT, files, name, project

WORKFLOWS = files(".github/workflows/*.yml")
DEPENDABOT = ROOT / ".github" / "dependabot.yml"
PIN = re.compile(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def tool(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A checker of this environment; beside it lies what it calls itself (actionlint: shellcheck)."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run([command, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True)


def jobs(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return parsed


def unpinned(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "uses:" in line and not PIN.fullmatch(line.strip())]


def endless(text: str) -> list[str]:
    """Jobs that GitHub would only end after six hours."""
    return [job for job, content in jobs(text).items() if "timeout-minutes" not in content]


def commands(text: str) -> Iterator[str]:
    """What the jobs run, for each value of their matrices."""
    for job in jobs(text).values():
        matrix = {key: values for key, values in job.get("strategy", {}).get("matrix", {}).items() if key != "exclude"}
        for values in itertools.product(*matrix.values()):
            for step in job["steps"]:
                command = step.get("run", "")
                for key, value in zip(matrix, values, strict=True):
                    command = command.replace(f"${{{{ matrix.{key} }}}}", value)
                yield from command.splitlines()


def strangers(text: str) -> list[str]:
    """Commands that are not a script of this repository, which a person could run as well."""
    return sorted({command for command in commands(text) if not (ROOT / command.split()[0]).is_file()})


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["cluster.yml", "images.yml", "labs.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_actionlint_finds_nothing(workflow: Path) -> None:
    found = tool("actionlint", workflow)
    assert found.returncode == 0, found.stdout


def test_zizmor_finds_nothing() -> None:
    found = tool("zizmor", "--offline", "--no-config", "--strict-collection", ".github")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_every_action_is_pinned_to_a_commit_with_its_version(workflow: Path) -> None:
    assert unpinned(workflow.read_text()) == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_every_job_has_a_time_limit(workflow: Path) -> None:
    assert endless(workflow.read_text()) == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_a_job_may_read_and_nothing_else(workflow: Path) -> None:
    parsed = yaml.safe_load(workflow.read_text())
    assert parsed["permissions"] == {}
    assert {job: content["permissions"] for job, content in parsed["jobs"].items()} == {
        job: {"contents": "read"} for job in parsed["jobs"]
    }


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_a_newer_push_cancels_the_runs_of_a_pull_request_and_not_those_of_main(workflow: Path) -> None:
    parsed = yaml.safe_load(workflow.read_text())
    assert parsed["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert parsed[True] == {"push": {"branches": ["main"]}, "pull_request": None}  # YAML reads `on` as true


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_workflows_run_scripts_of_the_repository_and_nothing_else(workflow: Path) -> None:
    assert list(commands(workflow.read_text()))
    assert strangers(workflow.read_text()) == []


def test_every_lab_is_in_its_workflows() -> None:
    ran = {path.name: set(commands(path.read_text())) for path in WORKFLOWS}
    tested = {path.parent.name for path in files("*/run.sh")} | {"repository"}
    assert {f"./test.sh {each}" for each in tested} <= ran["labs.yml"]
    assert {f"./{lab.name}/run.sh docker" for lab in LABS if (project(lab) / "Dockerfile").exists()} <= ran[
        "images.yml"
    ]
    assert {f"./{lab.name}/run.sh minikube" for lab in LABS if "minikube" in (lab / "run.sh").read_text()} <= ran[
        "cluster.yml"
    ]


def test_a_newcomers_command_is_the_first_of_the_readme() -> None:
    (command,) = (
        step["run"]
        for step in jobs((ROOT / ".github/workflows/labs.yml").read_text())["newcomer"]["steps"]
        if "run" in step
    )
    assert re.findall(r"^```sh\n(.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)[0] == command


def test_dependabot_knows_every_project() -> None:
    updates = {update["package-ecosystem"]: update for update in yaml.safe_load(DEPENDABOT.read_text())["updates"]}
    told = {ecosystem: set(update.get("directories", [])) for ecosystem, update in updates.items()}
    assert told == {
        "github-actions": set(),
        "pip": {f"/{name(lock.parent)}" for lock in files("*poetry.lock")},
        "docker": {f"/{name(dockerfile.parent)}" for dockerfile in files("*Dockerfile")},
    }


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_a_tag_in_place_of_a_commit_is_told(workflow: Path, tmp_path: Path) -> None:
    broken = re.sub(r"@[0-9a-f]{40} # (v\d+)\S+", r"@\1", workflow.read_text())
    assert "actions/checkout@v" in broken
    assert "- uses: actions/checkout@v7" in unpinned(broken)
    (tmp_path / workflow.name).write_text(broken)
    assert "unpinned-uses" in tool("zizmor", "--offline", "--no-config", tmp_path / workflow.name).stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_a_commit_without_its_version_is_told(workflow: Path) -> None:
    broken = re.sub(r" # v\S+", "", workflow.read_text())
    assert len(unpinned(broken)) == broken.count("uses:")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)
def test_a_missing_time_limit_is_told(workflow: Path) -> None:
    broken = re.sub(r"\n +timeout-minutes: \d+", "", workflow.read_text(), count=1)
    assert endless(broken) == list(jobs(broken))[:1]


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("ubuntu-24.04-arm]", "ubuntu-24.04-leg]", "ubuntu-24.04-leg"),
        ("matrix.lab }}", "matrix.lap }}", "lap"),
        ("    steps:", "    step:", "step"),
    ],
)
def test_a_slip_is_told_by_actionlint(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    text = (ROOT / ".github/workflows/images.yml").read_text()
    assert right in text
    (tmp_path / "images.yml").write_text(text.replace(right, wrong))
    found = tool("actionlint", tmp_path / "images.yml")
    assert found.returncode != 0
    assert told in found.stdout


def test_kept_credentials_and_a_dependabot_without_patience_are_told_by_zizmor(tmp_path: Path) -> None:
    github = shutil.copytree(ROOT / ".github", tmp_path / ".github", ignore=shutil.ignore_patterns("tests"))
    for path in (*(github / "workflows").iterdir(), github / "dependabot.yml"):
        text = re.sub(r"\n +with:\n +persist-credentials: false", "", path.read_text())
        path.write_text(text.replace("cooldown", "#"))
    found = tool("zizmor", "--offline", "--no-config", github)
    assert "artipacked" in found.stdout
    assert "dependabot-cooldown" in found.stdout


def test_a_script_that_is_not_there_is_told() -> None:
    text = (ROOT / ".github/workflows/images.yml").read_text()
    assert strangers(text.replace("/run.sh", "/start.sh")) == sorted(f"./{lab.name}/start.sh docker" for lab in LABS)
