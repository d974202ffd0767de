"""The ladder: a lab copies the files that it shares with the lab before it, and run.sh grows by a few lines."""

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
    (copy / "lab_3" / "lab3" / "new.py").touch()  # git does not track it yet
    drifted = [f"{STEP['to']}/{path}" for path in ("install.sh", "new.py", "src/__init__.py", "tests/test_main.py")]
    report = ladder(copy)
    assert report.returncode == 1
    *lines, hint = report.stdout.splitlines()
    assert sorted(line.split(" differs from ")[0] for line in lines) == drifted
    assert hint.startswith("run: python tests/ladder.py --sync")
    assert sorted(ladder(copy, "--sync").stdout.splitlines()) == [f"{path} is written" for path in drifted]
    assert ladder(copy).stdout == ""


def test_wrong_entry_of_the_list_is_reported(copy: Path) -> None:
    """A list that is longer than necessary hides the next drift."""
    text = (copy / "tests" / "ladder.toml").read_text()
    text = text.replace("changes = [", 'changes = ["install.sh", "nothing.py", ', 1)
    (copy / "tests" / "ladder.toml").write_text(text.replace("drops = [", 'drops = ["src/__init__.py", ', 1))
    report = ladder(copy, "--sync")
    assert report.returncode == 1
    entries = re.findall(r"^tests/ladder\.toml: (\S+) is (in `\w+`|listed), but", report.stdout, re.MULTILINE)
    assert [path for path, _ in entries] == ["nothing.py", "install.sh", "nothing.py", "src/__init__.py"]


@pytest.mark.parametrize(("earlier", "later", "max_new"), [(1, 2, 3), (3, 4, 14)])
def test_run_sh_of_the_next_lab_only_adds_lines(earlier: int, later: int, max_new: int) -> None:
    """So a test of one of the two scripts holds for both. Lines that name the lab differ."""
    names = rf"lab_?(?:{earlier}|{later})\b|\b[34]\.1\.0|3008[34]| overlay=\S+|, or \./run\.sh aks[^']*|^# .*"
    scripts = [re.sub(names, "", (ROOT / f"lab_{lab}" / "run.sh").read_text(), flags=re.M) for lab in (earlier, later)]
    difference = difflib.ndiff(scripts[0].splitlines(), scripts[1].splitlines())
    changed = [line for line in difference if line[0] in "+-" and line[2:]]
    assert [line for line in changed if line[0] == "-"] == []
    assert len(changed) <= max_new


@pytest.mark.parametrize("lab", [lab.name for lab in REBUILT])
def test_tests_are_at_most_40_percent_of_the_labs_code(lab: str) -> None:
    """Python, shell and Lua that the lab does not copy from an earlier one."""
    copied = {copy for _, copy in copies()}
    code = [path for path in files(f"{lab}/*.py", f"{lab}/*.sh", f"{lab}/*.lua") if path not in copied]
    lines = {path: len(path.read_text().splitlines()) for path in code}
    tests = sum(count for path, count in lines.items() if "/tests/" in name(path))
    assert tests <= 0.4 * sum(lines.values()), f"{tests} of {sum(lines.values())} lines"
