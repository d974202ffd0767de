"""The lock files: the public registry's packages, and a wheel of what serves for everybody who may run a lab."""

import copy
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from repository import LABS, ROOT, files, name, project

PYTHONS = [(3, 11), (3, 12), (3, 13), (3, 14)]
PLATFORMS = [("Linux", "x86_64"), ("Linux", "aarch64"), ("macOS", "x86_64"), ("macOS", "arm64")]
LOCKS = files("*poetry.lock")
# ONNX Runtime has none for Intel Macs since 1.24. There the final project runs in Docker.
NO_WHEEL = re.compile(r"onnxruntime \S+: no wheel for Python \S+ on macOS x86_64")


def read(lock: Path) -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads(lock.read_text())["package"]
    return packages


def groups(lock: Path) -> list[str]:
    """What run.sh and test.sh install: training needs whatever its author has."""
    return [group for group in ("main", "dev") if any(group in package["groups"] for package in read(lock))]


def tags(python: tuple[int, int], system: str, machine: str) -> set[Tag]:
    """What pip takes on glibc 2.28 (Debian 10, RHEL 8) or macOS 14."""
    if system == "macOS":
        platforms = list(mac_platforms((14, 0), machine))
    else:
        oldest, legacy = (5, ["1", "2010", "2014"]) if machine == "x86_64" else (17, ["2014"])
        platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in range(oldest, 29)]
        platforms += [f"manylinux{year}_{machine}" for year in legacy]
    return {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, f"cp{python[0]}{python[1]}", platforms),
    }


def environment(python: tuple[int, int], system: str, machine: str) -> dict[str, str]:
    """The variables that a marker in a lock can ask for."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python[0]}.{python[1]}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Darwin" if system == "macOS" else "Linux",
        "python_full_version": f"{python[0]}.{python[1]}.0",
        "python_version": f"{python[0]}.{python[1]}",
        "sys_platform": "darwin" if system == "macOS" else "linux",
    }


def missing(packages: list[dict[str, Any]], group: str) -> Iterator[str]:
    """One line for each package of the group and each Python and platform where pip would find no wheel for it."""
    for python in PYTHONS:
        for system, machine in PLATFORMS:
            supported, where = tags(python, system, machine), environment(python, system, machine)
            for package in packages:
                markers = package.get("markers", "")
                marker = markers.get(group, "") if isinstance(markers, dict) else markers
                if group not in package["groups"] or (marker and not Marker(marker).evaluate(where)):
                    continue
                wheels = [file["file"] for file in package["files"] if file["file"].endswith(".whl")]
                told = f"for Python {where['python_version']} on {system} {machine}"
                if where["python_full_version"] not in SpecifierSet(
                    package["python-versions"].removeprefix("*")
                ):  # "*": any
                    yield f"{package['name']} {package['version']}: not made {told}"
                elif not any(parse_wheel_filename(wheel)[3] & supported for wheel in wheels):
                    yield f"{package['name']} {package['version']}: no wheel {told}"


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_no_package_comes_from_a_mirror(lock: Path) -> None:
    assert [package["name"] for package in read(lock) if "source" in package] == []


@pytest.mark.parametrize(
    ("lock", "group"),
    [pytest.param(lock, group, id=f"{name(lock)} {group}") for lock in LOCKS for group in groups(lock)],
)
def test_what_serves_or_tests_has_a_wheel_for_every_python_and_platform(lock: Path, group: str) -> None:
    assert [told for told in missing(read(lock), group) if not NO_WHEEL.fullmatch(told)] == []


def test_the_exception_is_still_one() -> None:
    told = missing(read(ROOT / "final_project" / "finalproject" / "poetry.lock"), "main")
    assert len([line for line in told if NO_WHEEL.fullmatch(line)]) == len(PYTHONS)


def test_every_lab_serves() -> None:
    assert [lab.name for lab in LABS if "main" not in groups(project(lab) / "poetry.lock")] == []


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_the_lock_is_for_every_python(lock: Path) -> None:
    allowed = SpecifierSet(tomllib.loads(lock.read_text())["metadata"]["python-versions"])
    assert [python for python in PYTHONS if f"{python[0]}.{python[1]}.0" not in allowed] == []


@pytest.mark.parametrize(
    ("wheel", "told"),
    [
        ("cp311-cp311-manylinux.*_x86_64", "no wheel for Python 3.11 on Linux x86_64"),
        ("cp313-cp313-manylinux.*_aarch64", "no wheel for Python 3.13 on Linux aarch64"),
        ("cp314-cp314-macosx.*_x86_64", "no wheel for Python 3.14 on macOS x86_64"),
        ("cp314-cp314-macosx.*_arm64", "no wheel for Python 3.14 on macOS arm64"),
    ],
)
def test_a_lock_with_one_wheel_removed_is_told(wheel: str, told: str) -> None:
    packages = copy.deepcopy(read(ROOT / "lab_2" / "lab2" / "poetry.lock"))
    package = next(package for package in packages if package["name"] == "scikit-learn")
    package["files"] = [file for file in package["files"] if not re.search(f"-{wheel}.whl", file["file"])]
    assert list(missing(packages, "main")) == [f"scikit-learn {package['version']}: {told}"]


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 0),
        ({"files": [{"file": "one-1.0.tar.gz"}]}, 16),
        ({"files": [{"file": "one-1.0-cp311-abi3-manylinux_2_34_x86_64.whl"}]}, 16),
        ({"files": [{"file": "one-1.0-cp311-abi3-manylinux_2_28_x86_64.whl"}]}, 12),
        ({"files": [{"file": "one-1.0-cp311-abi3-musllinux_1_2_x86_64.whl"}]}, 16),
        ({"files": [{"file": "one-1.0-cp312-cp312-macosx_11_0_universal2.whl"}]}, 14),
        ({"files": [], "markers": 'sys_platform == "win32"'}, 0),
        ({"files": [], "markers": {"main": 'platform_machine == "arm64"'}}, 4),
        ({"files": [], "markers": {"dev": 'sys_platform == "win32"'}}, 16),
        ({"files": [], "groups": ["dev"]}, 0),
        ({"python-versions": ">=3.11,<3.14"}, 4),
        ({"python-versions": "*"}, 0),
    ],
)
def test_what_counts_as_a_wheel_is_what_pip_would_take(change: dict[str, Any], count: int) -> None:
    package = {
        "name": "one",
        "version": "1.0",
        "groups": ["main"],
        "python-versions": ">=3.8",
        "files": [{"file": "one-1.0-py3-none-any.whl"}],
    }
    assert len(list(missing([package | change], "main"))) == count


@pytest.fixture(scope="session")
def poetry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The one that installed a project, else one of the version that install.sh takes."""
    there = [os.environ.get("POETRY", ""), *(str(lock.parent / ".venv/poetry/bin/poetry") for lock in LOCKS)]
    for path in there:
        if os.access(path, os.X_OK):
            return path
    folder = tmp_path_factory.mktemp("poetry")
    pin = re.findall(r"poetry==\S+", (LOCKS[0].parent / "install.sh").read_text())
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *pin], check=True, timeout=600)
    return str(folder / "bin/poetry")


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_the_lock_is_that_of_the_project(lock: Path, poetry: str) -> None:
    check = subprocess.run([poetry, "check", "--lock", "--strict"], cwd=lock.parent, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
