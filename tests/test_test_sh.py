"""test.sh: its usage, exit status and summary, with two small projects whose Python is a stub."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from repository import ROOT, files
from scripts import Start, commands, until

# python.sh defines the functions. The slow tests are named on pytest's command line; the other run ignores them.
STUB = """
case "$*" in
  *' --ignore=test_minikube.py'*) echo fast tests; fast ;;
  *'pytest '*' test_minikube.py'*) slow ;;
  *pytest*) echo lab tests; lab ;;
  *) echo "$*" >>calls ;;
esac
"""
SLOW = "failed: tests(background)\n"
SKIP = "echo 'SKIPPED [1] test_images.py:1: Docker is not running'"
ALLOWED = "echo 'SKIPPED [1] test_azure.py:1: the Azure CLI is not installed'"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """test.sh with two installed projects. The folder tmp is its TMPDIR."""
    shutil.copy(ROOT / "test.sh", tmp_path)
    (tmp_path / "tmp").mkdir()
    for project in ("tests", "lab_1/lab1"):
        (tmp_path / project / ".venv").mkdir(parents=True)
        (tmp_path / project / "poetry.lock").touch()
        (tmp_path / project / "install.sh").symlink_to(shutil.which("true") or "")
        commands(tmp_path / project / ".venv" / "bin", python=f'. "{tmp_path}/python.sh"')
    (tmp_path / "final_project").mkdir()
    return tmp_path


def stub(clone: Path, slow: str = ":", fast: str = ":", lab: str = ":") -> None:
    functions = "; ".join(f"{name}() {{ {body}; }}" for name, body in (("slow", slow), ("fast", fast), ("lab", lab)))
    (clone / "python.sh").write_text(f"{functions}; {STUB}")


@pytest.mark.parametrize("argument", ["lab_0", "lab_10", "lab1", "--al", "repository", ""])
def test_unknown_argument_is_rejected_with_the_usage(argument: str, start: Start) -> None:
    script = start(ROOT / "test.sh", "lab_1", argument)
    assert script.wait_for_exit() == 2
    assert re.fullmatch(r"usage: \./test\.sh .*\|tests \.\.\.\] \[--all\]\n", script.stderr)


@pytest.mark.parametrize(
    ("arguments", "bodies", "stderr"),
    [
        ([], {"slow": "echo slow tests"}, ""),
        ([], {"slow": "echo slow tests; exit 1"}, SLOW),
        ([], {"fast": "exit 5"}, "failed: tests\n"),  # pytest: no tests ran
        ([], {"lab": "exit 1", "slow": "exit 1"}, "failed: lab_1/lab1 tests(background)\n"),
        ([], {"slow": SKIP}, ""),
        (["--all"], {"slow": SKIP}, "failed: --all allows no skipped test\n"),
        (["--all"], {"lab": f"{SKIP}; {ALLOWED}"}, "failed: --all allows no skipped test\n"),
        (["--all"], {"fast": ALLOWED}, ""),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_exit_status_and_summary_cover_every_project(
    arguments: list[str], bodies: dict[str, str], stderr: str, clone: Path, start: Start
) -> None:
    stub(clone, **bodies)
    script = start(clone / "test.sh", *arguments, TMPDIR=str(clone / "tmp"))
    assert script.wait_for_exit() == (1 if stderr else 0)
    assert script.stderr == stderr
    parts = [part.splitlines() for part in script.stdout.split("\n== ")[1:]]
    assert [part[:2] for part in parts[:2]] == [["tests", "fast tests"], ["lab_1/lab1", "lab tests"]]
    assert parts[2][0].startswith("tests, in the background: test_cluster.py ")
    assert ("slow tests" in parts[2]) == ("slow tests" in bodies.get("slow", ""))
    assert ("\n== skipped\nSKIPPED [1] " in script.stdout) == ("SKIPPED" in str(bodies))
    assert list((clone / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("targets", "projects"), [(["lab_1"], ["lab_1/lab1"]), (["lab_1", "tests"], ["tests", "lab_1/lab1"])]
)
def test_only_the_named_projects_run_and_each_linter_runs_once(
    targets: list[str], projects: list[str], clone: Path, start: Start
) -> None:
    stub(clone)
    script = start(clone / "test.sh", *targets, TMPDIR=str(clone / "tmp"))
    assert script.wait_for_exit() == 0
    assert re.findall(r"^== (\S+)$", script.stdout, re.MULTILINE) == projects
    calls = (clone / "lab_1" / "lab1" / "calls").read_text().splitlines()
    assert [" ".join(call.split()[:3]) for call in calls] == [
        "-m ruff check",
        "-m ruff format",
        "-m mypy --no-error-summary",
    ]


def test_failing_linter_fails_the_project(clone: Path, start: Start) -> None:
    stub(clone)
    (clone / "python.sh").write_text('[[ "$*" != *mypy* ]]')
    script = start(clone / "test.sh", "lab_1")
    assert script.wait_for_exit() == 1
    assert script.stderr == "failed: lab_1/lab1\n"


def test_settings_of_the_user_do_not_reach_the_tests(clone: Path, start: Start) -> None:
    stub(clone, lab=f"env >{clone}/env")
    settings = dict.fromkeys(
        ("PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "GIT_DIR", "GIT_COMMON_DIR", "GIT_INDEX_FILE"), "/nowhere"
    )
    script = start(clone / "test.sh", "lab_1", no_proxy="a.example", NO_PROXY="b.example", **settings)
    assert script.wait_for_exit() == 0
    environment = dict(line.split("=", 1) for line in (clone / "env").read_text().splitlines() if "=" in line)
    assert settings.keys() & environment.keys() == set()
    assert environment["no_proxy"] == environment["NO_PROXY"] == "127.0.0.1,localhost,a.example,b.example"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("fast", "moment"), [("sleep 60", "fast tests"), (":", "in the background")])
def test_when_it_is_stopped_the_slow_tests_stop_and_clean_up(
    fast: str, moment: str, number: int, clone: Path, start: Start
) -> None:
    slow = f"trap 'sleep 0.2; echo cleaned >{clone}/clean; exit' TERM; echo $$ >{clone}/pid; sleep 60 & wait"
    stub(clone, slow=slow, fast=f"until [ -s {clone}/pid ]; do sleep 0.01; done; {fast}")
    script = start(clone / "test.sh", TMPDIR=str(clone / "tmp"))
    script.wait_for_output(moment)
    until((clone / "pid").exists, "the slow tests did not start")
    os.killpg(script.process.pid, number)
    assert script.wait_for_exit() == 128 + number
    assert (clone / "clean").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(int((clone / "pid").read_text()), 0)
    assert list((clone / "tmp").iterdir()) == []


def test_tests_that_use_docker_or_a_cluster_are_slow_tests() -> None:
    uses = re.compile(r"^import cluster$|^from cluster import|\"docker\", \"info\"", re.MULTILINE)
    (slow_tests,) = re.findall(r"^slow_tests='(.+)'", (ROOT / "test.sh").read_text(), re.MULTILINE)
    assert slow_tests.split() == [path.name for path in files("tests/test_*.py") if uses.search(path.read_text())]
