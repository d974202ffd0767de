"""The ladder: a lab copies the files that it shares with the lab before it, and every run.sh has the same steps."""

import difflib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ladder import copies
from repository import REBUILT, ROOT, files, name

STEP = tomllib.loads((ROOT / "tests" / "ladder.toml").read_text())["step"][-1]


def ladder(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tests" / "ladder.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A synchronized copy of the ladder, without the files that git ignores."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for path in files(*map(name, REBUILT), "*install.sh", "tests/ladder.*"):
        (tmp_path / name(path)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / name(path))
    ladder(tmp_path, "--sync")
    return tmp_path


def test_every_copy_equals_its_origin() -> None:
    result = ladder(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_drift_is_reported_with_the_command_and_repaired_by_sync(copy: Path) -> None:
    edited, deleted, executable = (
        copy / STEP["to"] / path for path in ("install.sh", "tests/test_main.py", "src/__init__.py")
    )
    with edited.open("a") as script:
        script.write("# one line more\n")
    deleted.unlink()
    executable.chmod(0o755)
    (copy / "lab_5" / "install.sh").chmod(0o644)
    (copy / "lab_1" / "lab1" / "new.py").touch()  # git does not track it yet
    drifted = ["lab_2/lab2/new.py", "lab_5/install.sh"]
    drifted += [f"{STEP['to']}/{path}" for path in ("install.sh", "src/__init__.py", "tests/test_main.py")]

    report = ladder(copy)
    assert report.returncode == 1
    *lines, hint = report.stdout.splitlines()
    assert sorted(line.split(" differs from ")[0] for line in lines) == sorted(drifted)
    assert hint.startswith("run: python tests/ladder.py --sync")

    sync = ladder(copy, "--sync")
    assert sync.returncode == 0
    drifted.append("lab_3/lab3/new.py")  # a copy is the origin of the next one
    assert sorted(sync.stdout.splitlines()) == sorted(f"{path} is written" for path in drifted)
    assert ladder(copy).stdout == ""
    assert (deleted.is_file(), executable.stat().st_mode & 0o100) == (True, 0)


def test_own_version_of_a_later_lab_is_not_drift(copy: Path) -> None:
    with (copy / STEP["to"] / STEP["changes"][-1]).open("a") as file:
        file.write("\n")
    assert ladder(copy).returncode == 0


def test_wrong_entry_of_the_list_is_reported(copy: Path) -> None:
    """A list that is longer than necessary hides the next drift."""
    text = (copy / "tests" / "ladder.toml").read_text()
    text = text.replace("changes = [", 'changes = ["install.sh", "nothing.py", ', 1)
    (copy / "tests" / "ladder.toml").write_text(text.replace("drops = [", 'drops = ["src/__init__.py", ', 1))
    report = ladder(copy, "--sync")
    assert report.returncode == 1
    entries = re.findall(r"^tests/ladder\.toml: (\S+) is (in `\w+`|listed), but", report.stdout, re.MULTILINE)
    assert entries == [
        ("nothing.py", "listed"),
        ("install.sh", "in `changes`"),
        ("nothing.py", "in `changes`"),
        ("src/__init__.py", "in `drops`"),
    ]


@pytest.mark.parametrize("script", files("*/run.sh"), ids=name)
def test_every_run_sh_has_the_five_steps(script: Path) -> None:
    steps = ["build", "start", "wait", "smoke test" if script.parent in REBUILT else "exercise", "clean up"]
    assert sorted(set(re.findall(r"\bheading ['\"]?([a-z ]+[a-z])", script.read_text()))) == sorted(steps)


def test_load_scripts_of_both_services_differ_only_in_the_request() -> None:
    housing, sentiment = ((ROOT / lab / "load.js").read_text().splitlines() for lab in ("lab_5", "final_project"))
    changed = [line for line in difflib.ndiff(housing, sentiment) if line[0] in "+-"]
    assert 0 < len(changed) <= 30


def test_run_scripts_of_lab_1_and_lab_2_differ_in_the_smoke_test_only() -> None:
    first, second = ((ROOT / lab / "run.sh").read_text() for lab in ("lab_1", "lab_2"))
    extra = [
        line
        for line in second.splitlines(keepends=True)
        if line.startswith(("block_group=", "expect")) and "data" in line
    ]
    assert len(extra) == 2
    for line in [*extra, next(line for line in second.splitlines(keepends=True) if line.startswith("block_group="))]:
        second = second.replace(line, "")
    assert second == first.replace("lab1", "lab2").replace("lab_1", "lab_2")


@pytest.mark.parametrize("main", files("*/src/main.py", "*/finalproject/main.py"), ids=name)
def test_main_module_describes_its_own_lab(main: Path) -> None:
    text = main.read_text()
    (title,) = re.findall(r"title=\"(\w+)\"", text)
    assert text.startswith(f'"""{title}: ')


@pytest.mark.parametrize("bench", [path for path in files("*/bench/*.py") if "ROUNDS)" in path.read_text()], ids=name)
def test_benchmark_prints_its_number_of_rounds_with_the_table(bench: Path) -> None:
    lines = [line for line in bench.read_text().splitlines() if "sys.stderr" not in line]
    assert any("{ROUNDS}" in line for line in lines)


@pytest.mark.parametrize("lab", [lab.name for lab in REBUILT])
def test_tests_are_at_most_40_percent_of_the_labs_code(lab: str) -> None:
    """Python, shell and Lua that the lab does not copy from an earlier one."""
    copied = {copy for _, copy in copies()}
    code = [path for path in files(f"{lab}/*.py", f"{lab}/*.sh", f"{lab}/*.lua") if path not in copied]
    lines = {path: len(path.read_text().splitlines()) for path in code}
    tests = sum(count for path, count in lines.items() if "/tests/" in name(path))
    assert tests <= 0.4 * sum(lines.values()), f"{tests} of {sum(lines.values())} lines"
