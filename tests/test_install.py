"""install.sh, of which all copies are equal. Its `poetry export` fails if a lock is older than its pyproject.toml."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker

from repository import DEAD_URL, LABS, files, project
from scripts import Start, commands


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project with the install.sh of lab_1."""
    (tmp_path / "clone").mkdir()
    for file in ("pyproject.toml", "poetry.lock", "install.sh"):
        shutil.copy(project(LABS[0]) / file, tmp_path / "clone")
    return tmp_path / "clone"


def offline(folder: Path) -> dict[str, str]:
    """Settings that install one small wheel without a network: those of pip, and a fake Poetry."""
    wheel = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    requirement = f"tiny==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    poetry = commands(folder / "poetry", poetry=f"[ $1 = --version ] || echo '{requirement}' >.venv/requirements.txt")
    return {"POETRY": f"{poetry}/poetry", "PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1"}


def test_install_ignores_user_settings_and_is_needed_again_only_when_the_environment_is_stale(
    clone: Path, tmp_path: Path, start: Start
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "pip.conf").write_text(f"[install]\nprefix = {other}\n[global]\nroot = {other}\n")
    names = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIREMENT", "PYTHONPATH", "PYTHONHOME")
    user = dict.fromkeys(names, str(other)) | {"PIP_USER": "1", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    settings = offline(tmp_path) | user
    first = start(clone / "install.sh", **settings)
    assert first.wait_for_exit() == 0, first.stderr
    assert list(other.iterdir()) == []
    subprocess.run([clone / ".venv/bin/python", "-c", "import tiny"], check=True)
    no_python = commands(tmp_path / "bin", "bash", "cat", "cksum", "dirname")
    assert start(clone / "install.sh", PATH=no_python).wait_for_exit() == 0
    lock = (clone / "poetry.lock").read_text()
    (clone / "poetry.lock").write_text(lock + "\n")
    assert start(clone / "install.sh", PATH=no_python).wait_for_exit() == 1
    (clone / "poetry.lock").write_text(lock)
    stale = start(clone.rename(tmp_path / "moved") / "install.sh", PATH=no_python)
    assert stale.wait_for_exit() == 1
    assert stale.stderr == "Python 3.11 to 3.14 is required: https://www.python.org/downloads\n"


def test_without_a_network_nothing_partial_is_left(clone: Path, start: Start) -> None:
    index = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": DEAD_URL, "PIP_FIND_LINKS": ""}
    script = start(clone / "install.sh", **index, POETRY="")
    assert script.wait_for_exit() == 1
    assert re.fullmatch(r"pip could not install the packages; is there a network\? ERROR.+\n", script.stderr)
    assert not (clone / ".venv").exists()


def test_lock_names_no_mirror_and_one_version_of_a_package() -> None:
    """Poetry locks two versions if their markers differ, even if both hold. pip rejects two on this machine."""
    for lock in files("*poetry.lock"):
        packages = tomllib.loads(lock.read_text())["package"]
        assert [package["name"] for package in packages if "source" in package] == [], lock
        markers = [(package["name"], package.get("markers", "python_version > '3'")) for package in packages]
        names = [name for name, marker in markers if isinstance(marker, dict) or Marker(marker).evaluate()]
        assert sorted(names) == sorted(set(names)), lock
