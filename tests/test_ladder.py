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
from repository import LAB_5, LABS, ROOT, files, name

STEP = tomllib.loads((ROOT / "tests" / "ladder.toml").read_text())["step"][-1]


def ladder(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tests" / "ladder.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A synchronized copy of the ladder, without the files that git ignores."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for path in files(*map(name, LABS), "*install.sh", "tests/ladder.*"):
        (tmp_path / name(path)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / name(path))
    ladder(tmp_path, "--sync")
    return tmp_path


def test_every_copy_equals_its_origin() -> None:
    result = ladder(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_drift_is_reported_with_the_command_and_repaired_by_sync(copy: Path) -> None:
    drifted = [f"{STEP['to']}/{path}" for path in ("finalproject/__init__.py", "infra/redis.yaml", "install.sh")]
    executable, deleted, edited = (copy / path for path in drifted)
    with edited.open("a") as script:
        script.write("# one line more\n")
    deleted.unlink()
    executable.chmod(0o755)
    (copy / STEP["from"] / ".k8s/new.yaml").write_text("housing: src srcset")  # git does not track it yet
    drifted.insert(0, "final_project/.k8s/new.yaml")
    report = ladder(copy)
    assert report.returncode == 1
    *lines, hint = report.stdout.splitlines()
    assert sorted(line.split(" differs from ")[0] for line in lines) == drifted
    assert hint.startswith("run: python tests/ladder.py --sync")
    assert sorted(ladder(copy, "--sync").stdout.splitlines()) == [f"{path} is written" for path in drifted]
    assert ladder(copy).stdout == ""
    assert (copy / "final_project/.k8s/new.yaml").read_text() == "sentiment: finalproject srcset"


def test_wrong_entry_of_the_list_is_reported(copy: Path) -> None:
    """A list that is longer than necessary hides the next drift."""
    text = (copy / "tests" / "ladder.toml").read_text()
    text = text.replace("changes = [", 'changes = ["install.sh", "nothing.py", ', 1)
    (copy / "tests" / "ladder.toml").write_text(text.replace("drops = [", 'drops = ["src/__init__.py", ', 1))
    report = ladder(copy, "--sync")
    assert report.returncode == 1
    entries = re.findall(r"^tests/ladder\.toml: (\S+) is (in `\w+`|listed), but", report.stdout, re.MULTILINE)
    assert [path for path, _ in entries] == ["nothing.py", "install.sh", "nothing.py", "src/__init__.py"]


@pytest.mark.parametrize(
    ("earlier", "later", "max_new", "max_removed"),
    [("lab_1", "lab_2", 3, 0), ("lab_3", "lab_4", 10, 0), ("lab_4", "final_project", 12, 13)],
)
def test_run_sh_of_the_next_lab_changes_few_lines(earlier: str, later: str, max_new: int, max_removed: int) -> None:
    """So a test of one of the two scripts holds for both. Lines that name the lab differ."""
    names = r"\b(lab_?\d|final_?project|src)\b|\b[347]\.[01]\.0|3008\d| overlay=\S+|, or \./run\.sh aks[^']*|^# .*"
    scripts = [re.sub(names, "", (ROOT / lab / "run.sh").read_text(), flags=re.M) for lab in (earlier, later)]
    difference = difflib.ndiff(scripts[0].splitlines(), scripts[1].splitlines())
    signs = [line[0] for line in difference if line[2:]]
    assert signs.count("+") <= max_new
    assert signs.count("-") <= max_removed


@pytest.mark.parametrize("lab", [lab.name for lab in [*LABS, LAB_5]])
def test_tests_are_at_most_40_percent_of_the_labs_code(lab: str) -> None:
    """Python, shell and Lua that the lab does not copy from an earlier one."""
    code = set(files(f"{lab}/*.py", f"{lab}/*.sh", f"{lab}/*.lua")) - {copy for _, copy, _ in copies()}
    lines = {path: len(path.read_text().splitlines()) for path in code}
    tests = sum(count for path, count in lines.items() if "/tests/" in name(path))
    assert tests <= 0.4 * sum(lines.values()), f"{tests} of {sum(lines.values())} lines"
