"""test.sh: its usage, exit status and summary, with two small projects whose Python is a stub."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from repository import ROOT, files
from scripts import Start, commands, until

# The slow tests are named on pytest's command line. The other run of pytest in tests/ ignores them.
STUB = """
case "${{PWD##*/}} $*" in
  *' --ignore '*) {fast} ;;
  'tests -m pytest '*) {slow} ;;
  'lab1 -m pytest '*) {lab} ;;
  *) echo "$*" ;;
esac
"""
SKIP = "echo 'SKIPPED [1] test_images.py:1: Docker is not running'"
ALLOWED = "echo 'SKIPPED [1] test_azure.py:1: the Azure CLI is not installed'"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """test.sh with two installed projects."""
    shutil.copy(ROOT / "test.sh", tmp_path)
    (tmp_path / "final_project").mkdir()
    for project in (tmp_path / "tests", tmp_path / "lab_1/lab1"):
        (project / ".venv").mkdir(parents=True)
        (project / "poetry.lock").touch()
        commands(project / ".venv/bin", python=f'. "{tmp_path}/python.sh"')
        (project / "install.sh").symlink_to(shutil.which("true") or "")
    return tmp_path


def stub(clone: Path, slow: str = ":", fast: str = ":", lab: str = ":") -> None:
    (clone / "python.sh").write_text(STUB.format(slow=slow, fast=fast, lab=lab))


def test_unknown_argument_is_rejected_with_the_usage(start: Start) -> None:
    script = start(ROOT / "test.sh", "lab_1", "lab1")
    assert script.wait_for_exit() == 2
    assert re.fullmatch(r"usage: \./test\.sh .*\|tests \.\.\.\] \[--all\]\n", script.stderr)


@pytest.mark.parametrize(
    ("arguments", "bodies", "stderr"),
    [
        ([], {"slow": SKIP}, ""),
        ([], dict.fromkeys(("lab", "fast", "slow"), "exit 1"), "failed: tests lab_1/lab1 docker tests(slow)\n"),
        (["lab_1"], {"fast": "exit 1", "slow": "exit 1"}, ""),
        (["--all"], {"slow": SKIP, "lab": ALLOWED}, "failed: --all allows no skipped test\n"),
        (["--all"], {"fast": ALLOWED}, ""),
    ],
)
def test_exit_status_and_summary_cover_the_named_projects(
    arguments: list[str], bodies: dict[str, str], stderr: str, clone: Path, start: Start
) -> None:
    stub(clone, **bodies)
    script = start(clone / "test.sh", *arguments)
    assert script.wait_for_exit() == (1 if stderr else 0)
    assert script.stderr == stderr
    assert ("\n== skipped\nSKIPPED [1] " in script.stdout) == ("SKIPPED" in str(bodies))
    assert script.stdout.count("-m mypy") == (1 if arguments == ["lab_1"] else 2)


def test_settings_of_the_user_do_not_reach_the_tests(clone: Path, start: Start) -> None:
    stub(clone, lab="env")
    names = ("CDPATH", "PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "GIT_DIR", "GIT_COMMON_DIR", "GIT_INDEX_FILE")
    script = start(clone / "test.sh", "lab_1", NO_PROXY="b.example", **dict.fromkeys(names, "/nowhere"))
    assert script.wait_for_exit() == 0
    assert "/nowhere" not in script.stdout
    assert re.search(r"^no_proxy=127\.0\.0\.1,localhost,.*\bb\.example$", script.stdout, re.MULTILINE)


def test_when_it_is_stopped_the_slow_tests_stop_and_clean_up(clone: Path, start: Start) -> None:
    stub(clone, f"trap 'sleep 0.2; echo >{clone}/clean; exit' INT; echo >{clone}/started; sleep 60", "sleep 60")
    script = start(clone / "test.sh")
    until((clone / "started").exists, "the slow tests did not start")
    script.interrupt()
    assert script.wait_for_exit() == 128 + signal.SIGINT
    assert (clone / "clean").exists()


def test_lists_of_test_sh_name_every_test_that_uses_docker_or_a_cluster() -> None:
    uses = re.compile(r"^import cluster$|^from cluster import", re.MULTILINE)
    lists = re.findall(r"_tests='?(test_[\w. ]+)", (ROOT / "test.sh").read_text())
    using = [path.name for path in files("tests/test_*.py") if uses.search(path.read_text())]
    assert sorted(set(" ".join(lists).split())) == using
