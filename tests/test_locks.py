"""Every lock belongs to its project, names no mirror, and has a wheel for every supported machine."""

import copy
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from repository import ROOT, files, name

PYTHONS = [(3, 11), (3, 12), (3, 13), (3, 14)]
PLATFORMS = [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64"), ("Darwin", "arm64")]
GROUPS = {"main", "dev"}  # what run.sh and test.sh install; the trainers' packages may lack a wheel
LOCKS = files("*poetry.lock")
# ONNX Runtime 1.24 and later have no wheel for Intel Macs. There the final project runs in Docker.
NO_WHEEL = re.compile(r"onnxruntime \S+: no wheel for Python \S+ on Darwin x86_64")

each_lock = pytest.mark.parametrize("lock", LOCKS, ids=name)


def packages(lock: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tomllib.loads(lock.read_text())["package"]
    return [package for package in listed if GROUPS & set(package["groups"])]


def tags(python: tuple[int, int], system: str, machine: str) -> set[Tag]:
    """The wheels that pip accepts on glibc 2.28 (Debian 10, RHEL 8) or macOS 14."""
    if system == "Darwin":
        platforms = list(mac_platforms((14, 0), machine))
    else:
        oldest, legacy = (5, ["1", "2010", "2014"]) if machine == "x86_64" else (17, ["2014"])
        platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in range(oldest, 29)]
        platforms += [f"manylinux{year}_{machine}" for year in legacy]
    interpreter = f"cp{python[0]}{python[1]}"
    return {*cpython_tags(python, platforms=platforms), *compatible_tags(python, interpreter, platforms)}


def missing_wheels(package: dict[str, Any]) -> Iterator[str]:
    """A line for each Python and platform that needs the package and has no wheel of it."""
    wheels = [file["file"] for file in package["files"] if file["file"].endswith(".whl")]
    allowed = SpecifierSet(package["python-versions"].removeprefix("*"))  # "*": every version
    markers = package.get("markers", "")
    groups = GROUPS & set(package["groups"])
    conditions = [markers.get(group, "") if isinstance(markers, dict) else markers for group in groups]
    for python in PYTHONS:
        version = f"{python[0]}.{python[1]}"
        for system, machine in PLATFORMS:
            environment = {
                "implementation_name": "cpython",
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "platform_system": system,
                "python_full_version": f"{version}.0",
                "python_version": version,
                "sys_platform": system.lower(),
            }
            if not any(not condition or Marker(condition).evaluate(environment) for condition in conditions):
                continue
            supported = tags(python, system, machine)
            if f"{version}.0" not in allowed or not any(parse_wheel_filename(w)[3] & supported for w in wheels):
                yield f"{package['name']} {package['version']}: no wheel for Python {version} on {system} {machine}"


@each_lock
def test_no_package_comes_from_a_mirror(lock: Path) -> None:
    assert [package["name"] for package in tomllib.loads(lock.read_text())["package"] if "source" in package] == []


@each_lock
def test_every_package_has_a_wheel_for_every_python_and_platform(lock: Path) -> None:
    missing = [line for package in packages(lock) for line in missing_wheels(package)]
    exceptions = [line for line in missing if NO_WHEEL.fullmatch(line)]
    assert sorted(set(missing) - set(exceptions)) == []
    assert len(exceptions) == (len(PYTHONS) if "onnxruntime" in lock.read_text() else 0)


@pytest.mark.parametrize(
    ("wheel", "missing"),
    [
        ("cp311-cp311-manylinux.*_x86_64", "no wheel for Python 3.11 on Linux x86_64"),
        ("cp314-cp314-macosx.*_arm64", "no wheel for Python 3.14 on Darwin arm64"),
    ],
)
def test_missing_wheel_is_reported(wheel: str, missing: str) -> None:
    (package,) = (each for each in packages(ROOT / "lab_2/lab2/poetry.lock") if each["name"] == "scikit-learn")
    assert list(missing_wheels(package)) == []
    package = copy.deepcopy(package)
    package["files"] = [file for file in package["files"] if not re.search(f"-{wheel}.whl", file["file"])]
    assert list(missing_wheels(package)) == [f"scikit-learn {package['version']}: {missing}"]


@each_lock
def test_lock_belongs_to_its_pyproject(lock: Path, poetry: str) -> None:
    check = subprocess.run([poetry, "check", "--lock", "--strict"], cwd=lock.parent, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
