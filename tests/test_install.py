"""install.sh: it notices a stale environment, ignores the user's settings, and leaves nothing partial behind."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import zipfile
from pathlib import Path

import pytest

from repository import LABS, dead_url, name, project, without
from scripts import Start, commands, until, url

PYPROJECT = '[project]\nname = "tiny"\nversion = "1"\n'
OLD_PYTHONS = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13", "python3.14"), "exit 1")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project of lab_1 in a fresh clone, next to its run.sh."""
    folder = tmp_path / name(project(LABS[0]))
    folder.mkdir(parents=True)
    shutil.copy(LABS[0] / "run.sh", folder.parent)
    for file in ("pyproject.toml", "poetry.lock", "install.sh"):
        shutil.copy(project(LABS[0]) / file, folder)
    return folder


@pytest.fixture
def wheel(tmp_path: Path) -> dict[str, str]:
    """Settings that install one small wheel from a folder, without a network: those of pip, and a fake Poetry."""
    path = tmp_path / "wheels" / "tiny-1-py3-none-any.whl"
    path.parent.mkdir()
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "")
        for file, text in info.items():
            archive.writestr(f"tiny-1.dist-info/{file}", text)
    requirement = f"tiny==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    poetry = commands(tmp_path / "poetry", poetry=f"echo '{requirement}' >.venv/requirements.txt")
    return {"PIP_FIND_LINKS": str(path.parent), "PIP_NO_INDEX": "1", "POETRY": f"{poetry}/poetry"}


def environment(index: str) -> dict[str, str]:
    """This environment with one package index, without other settings of pip and without Poetry."""
    settings = [key for key in os.environ if key.startswith("PIP_")]
    return without(*settings, "POETRY", PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=index)


def can_import(folder: Path) -> bool:
    return subprocess.run([folder / ".venv/bin/python", "-c", "import tiny"], capture_output=True).returncode == 0


@pytest.mark.parametrize("lab", LABS, ids=name)
def test_second_install_does_nothing(lab: Path, tmp_path: Path, start: Start, installed: None) -> None:
    path = commands(tmp_path / "bin", "bash", "cat", "cksum", "dirname")  # neither Python nor pip
    script = start(project(lab) / "install.sh", PATH=path)
    assert (script.wait_for_exit(), script.stdout, script.stderr) == (0, "nothing to install\n", "")


@pytest.mark.parametrize("change", ["folder moved", "Python gone", "pyproject.toml edited", "install interrupted"])
def test_stale_environment_is_replaced(change: str, clone: Path, wheel: dict[str, str], start: Start) -> None:
    assert start(clone / "install.sh", **wheel).wait_for_exit() == 0
    (clone / ".venv" / "bin" / "old").touch()
    if change == "folder moved":
        clone = clone.rename(clone.with_name("moved"))
    elif change == "Python gone":
        (clone / ".venv" / "bin" / "python").unlink()
    elif change == "pyproject.toml edited":
        (clone / "pyproject.toml").write_text(PYPROJECT)
    else:
        (clone / ".venv" / "installed-main").unlink()
    script = start(clone / "install.sh", **wheel)
    assert script.wait_for_exit() == 0, script.stderr
    assert "installing main" in script.stdout
    assert not (clone / ".venv" / "bin" / "old").exists()
    assert can_import(clone)


def test_environment_behind_a_symbolic_link_is_not_stale(
    clone: Path, wheel: dict[str, str], tmp_path: Path, start: Start
) -> None:
    assert start(clone / "install.sh", **wheel).wait_for_exit() == 0
    other = shutil.copytree(clone, tmp_path / "other", ignore=shutil.ignore_patterns(".venv"))
    (other / ".venv").symlink_to(clone / ".venv")
    script = start(other / "install.sh", **wheel)
    assert (script.wait_for_exit(), script.stdout) == (0, "nothing to install\n")


def test_lock_file_older_than_pyproject_is_reported_by_poetry_and_the_environment_is_kept(
    clone: Path, wheel: dict[str, str], poetry: str, start: Start
) -> None:
    assert start(clone / "install.sh", **wheel).wait_for_exit() == 0
    pyproject = clone / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"uvicorn>=', '"six>=1", "uvicorn>='))
    script = start(clone / "install.sh", POETRY=poetry)
    assert script.wait_for_exit() == 1
    assert "Run `poetry lock` to fix the lock file" in script.stderr
    assert can_import(clone)


@pytest.mark.parametrize(
    "settings",
    [
        {"PIP_TARGET": "other", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DRY_RUN": "1", "PYTHONPATH": "other"},
        {"PIP_PREFIX": "other", "PIP_NO_DEPS": "1", "PYTHONHOME": "other", "PIP_QUIET": "3", "PYTHONWARNINGS": "error"},
        {"PIP_USER": "1", "PIP_ROOT": "other", "PIP_PYTHON": "/nowhere", "PIP_REQUIREMENT": "/nowhere"},
        {"PIP_CONFIG_FILE": "[install]\ntarget = other\nuser = true\n"},
        {"PIP_CONFIG_FILE": "[install]\nprefix = other\n"},
        {"PIP_CONFIG_FILE": "[global]\nroot = other\n"},
    ],
)
def test_user_settings_of_pip_and_python_do_not_change_the_target(
    settings: dict[str, str], clone: Path, wheel: dict[str, str], tmp_path: Path, start: Start
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "pip.py").write_text("raise ImportError('of another project')")
    values = {key: value.replace("other", str(other)) for key, value in settings.items()}
    if "PIP_CONFIG_FILE" in values:
        (tmp_path / "pip.conf").write_text(values["PIP_CONFIG_FILE"])
        values["PIP_CONFIG_FILE"] = str(tmp_path / "pip.conf")
    script = start(clone / "install.sh", **wheel, **values)
    assert script.wait_for_exit() == 0, script.stderr
    assert can_import(clone)
    assert [path.name for path in other.iterdir()] == ["pip.py"]


def test_user_settings_of_the_package_index_reach_pip(
    clone: Path, wheel: dict[str, str], tmp_path: Path, start: Start
) -> None:
    (tmp_path / "constraints.txt").write_text("tiny==2\n")
    script = start(clone / "install.sh", **wheel, PIP_CONSTRAINT=str(tmp_path / "constraints.txt"))
    assert script.wait_for_exit() == 1
    assert re.search(r"^pip could not install .* ERROR: .*tiny.*\n\Z", script.stderr, re.MULTILINE)


# Failures


@pytest.mark.parametrize(("command", "poetry"), [("../run.sh", False), ("install.sh", True)])
def test_without_a_network_nothing_partial_is_left(
    command: str, poetry: bool, port: str, clone: Path, wheel: dict[str, str], start: Start
) -> None:
    settings = {"POETRY": wheel["POETRY"]} if poetry else {}
    arguments = ["local"] if command == "../run.sh" else []
    script = start(clone / command, *arguments, environment=environment(dead_url()) | settings, PORT=port)
    assert script.wait_for_exit() == 1
    assert re.fullmatch(r"pip could not install the packages; is there a network\? ERROR.+\n", script.stderr)
    assert not (clone / ".venv").exists()


def test_unsupported_python_is_an_error(clone: Path, tmp_path: Path, start: Start) -> None:
    path = commands(tmp_path / "bin", "bash", "cat", "cksum", "dirname", **OLD_PYTHONS)
    script = start(clone / "install.sh", PATH=path)
    assert script.wait_for_exit() == 1
    assert script.stderr == "Python 3.11 to 3.14 is required: https://www.python.org/downloads\n"
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("newer", ["python3.11", "python3.14"])
def test_newer_python_is_used_where_python3_is_too_old_and_missing_venv_is_an_error(
    newer: str, clone: Path, tmp_path: Path, start: Start
) -> None:
    pythons = OLD_PYTHONS | {newer: '[[ "$*" != *ensurepip* ]]'}
    path = commands(tmp_path / "bin", "bash", "cat", "cksum", "dirname", **pythons)
    script = start(clone / "install.sh", PATH=path)
    assert script.wait_for_exit() == 1
    assert script.stderr == f"{newer} has no venv module; on Debian and Ubuntu: apt install python3-venv\n"
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(("command", "moment"), [("install.sh", "venv"), ("../run.sh", "pip")])
def test_interrupted_install_leaves_nothing_partial(
    command: str, moment: str, port: str, clone: Path, start: Start
) -> None:
    arguments = ["local"] if command == "../run.sh" else []
    with socket.create_server(("127.0.0.1", 0)) as index:  # accepts pip's connection and never responds
        index.settimeout(120)
        settings = environment(url(str(index.getsockname()[1])))
        script = start(clone / command, *arguments, environment=settings, PORT=port)
        if moment == "venv":
            until((clone / ".venv").exists, "venv creates .venv")
            script.interrupt()
        else:
            connection, _ = index.accept()
            script.interrupt()
            connection.close()
        assert script.wait_for_exit() == 128 + signal.SIGINT
    assert "Traceback" not in script.stderr
    assert not (clone / ".venv").exists()
