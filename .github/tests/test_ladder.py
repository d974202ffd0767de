"""Each lab is the lab before it plus one idea: what does not belong to the idea is the same, byte for byte."""

import difflib
import itertools
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from repository import ROOT, files

LADDER = ["lab_1/lab1", "lab_2/lab2", "lab_3/lab3", "lab_4/lab4", "final_project/finalproject"]
# What a lab changes of the lab before it, and at most how many lines of it; new files are its idea. poetry.lock follows
# pyproject.toml, and the model is made by the trainer.
ANY = 10**6
CHANGES = {
    "lab_2/lab2": {
        ".dockerignore": 2,
        "Dockerfile": 4,
        "poetry.lock": ANY,
        "pyproject.toml": 30,
        "src/main.py": 40,
        "tests/conftest.py": 60,
    },
    "lab_3/lab3": {
        "Dockerfile": 2,
        "poetry.lock": ANY,
        "pyproject.toml": 15,
        "src/main.py": 50,
        "src/model.py": 2,
        "src/settings.py": 8,
        "tests/conftest.py": 20,
    },
    "lab_4/lab4": {
        "poetry.lock": ANY,
        "pyproject.toml": 6,
        "src/main.py": 19,
    },
    # texts in place of block groups, a queue in place of a worker, and an autoscaler in both overlays
    "final_project/finalproject": {
        ".dockerignore": 7,
        "Dockerfile": 10,
        "poetry.lock": ANY,
        "pyproject.toml": 26,
        "infra/azure/predict.json": 2,
        "infra/namespace.yaml": 2,
        "infra/network-policies.yaml": 2,
        "infra/redis.yaml": 10,
        ".k8s/README.md": 16,
        ".k8s/base/deployment.yaml": 32,
        ".k8s/base/kustomization.yaml": 4,
        ".k8s/components/hpa/README.md": 4,
        ".k8s/components/hpa/kustomization.yaml": 4,
        ".k8s/components/istio/README.md": 2,
        ".k8s/components/istio/kustomization.yaml": 4,
        ".k8s/components/istio/routing.yaml": 4,
        ".k8s/components/monitoring/README.md": 4,
        ".k8s/components/monitoring/alerts.yaml": 18,
        ".k8s/components/monitoring/kustomization.yaml": 4,
        ".k8s/components/monitoring/pod-monitor.yaml": 2,
        ".k8s/overlays/dev/kustomization.yaml": 21,
        ".k8s/overlays/prod/kustomization.yaml": 4,
        "src/body.py": 12,
        "src/main.py": 90,
        "src/model.py": 85,
        "src/schemas.py": 52,
        "src/settings.py": 10,
        "tests/conftest.py": 40,
        "tests/test_cache.py": ANY,
        "tests/test_cached_predict.py": ANY,
        "tests/test_drain.py": ANY,
        "tests/test_errors.py": ANY,
        "tests/test_main.py": ANY,
        "tests/test_metrics.py": ANY,
        "tests/test_model_behavior.py": ANY,
        "tests/test_openapi.py": ANY,
        "tests/test_predict.py": ANY,
        "tests/test_start.py": ANY,
        "tests/test_trainer.py": ANY,
    },
}
# What a lab does not carry on
LEFT = {
    "lab_4/lab4": {"infra/api.yaml"},  # in pieces in .k8s/base
    "final_project/finalproject": {  # it has another model, and so another trainer and other benchmarks
        "bench/*",
        "manifest.json",
        "model_pipeline.pkl",
        "src/worker.py",
        "tests/held_out.csv",
        "tests/test_worker.py",
        "trainer/*",
    },
}
# Where a lab has what the lab before it has elsewhere
SEATS = {"final_project/finalproject": {"src/": "finalproject/", ".k8s/": "../.k8s/"}}
# at most so many lines, in all files of the service together
SRC_CHANGES = {"lab_3/lab3": 59, "lab_4/lab4": 19, "final_project/finalproject": 245}
# the lab's name, and what its exercise step asks; then a cluster, and another one
RUN_CHANGES = {"lab_2/lab2": 10, "lab_3/lab3": 140, "lab_4/lab4": 20, "final_project/finalproject": 40}
HEADINGS = ["build", "start", "wait", "exercise", "clean up"]
STEPS = [pair for pair in itertools.pairwise(LADDER) if (ROOT / pair[1]).exists()]


def changed_lines(earlier: Path, later: Path) -> int:
    """Lines that came and went."""
    lines = difflib.ndiff(earlier.read_text().splitlines(), later.read_text().splitlines())
    return sum(line[0] in "+-" for line in lines)


def drift(carried: dict[str, str], earlier: Path, later: Path, may_change: dict[str, int]) -> list[str]:
    """What the later folder does not carry on as the earlier one has it, a sentence each."""
    told = []
    for name, seat in carried.items():
        if not (later / seat).exists():
            told.append(f"{name} is gone")
        elif (earlier / name).read_bytes() == (later / seat).read_bytes():
            continue
        elif name not in may_change:
            told.append(f"{name} differs")
        elif may_change[name] < ANY and (count := changed_lines(earlier / name, later / seat)) > may_change[name]:
            told.append(f"{name} has {count} changed lines, and may have {may_change[name]}")
    return told


def names(folder: str) -> list[str]:
    return [str(path.relative_to(ROOT / folder)) for path in files(f"{folder}/*")]


def seat(name: str, later: str) -> str:
    """Where the later lab has it."""
    for folder, other in SEATS.get(later, {}).items():
        if name.startswith(folder):
            return other + name.removeprefix(folder)
    return name


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_a_lab_changes_only_what_its_idea_needs(earlier: str, later: str) -> None:
    left = LEFT.get(later, set())
    carried = {name: seat(name, later) for name in names(earlier) if not any(fnmatch(name, each) for each in left)}
    assert drift(carried, ROOT / earlier, ROOT / later, CHANGES[later]) == []


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_what_a_lab_may_change_it_does_change(earlier: str, later: str) -> None:
    """A list that is longer than the truth hides the next drift."""
    seats = {name: seat(name, later) for name in CHANGES[later]}
    assert [
        name
        for name, there in seats.items()
        if (ROOT / earlier / name).read_bytes() == (ROOT / later / there).read_bytes()
    ] == []
    assert [name for name in LEFT.get(later, ()) if (ROOT / later / seat(name, later)).exists()] == []


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_the_scripts_of_neighbours_differ_in_their_exercise(earlier: str, later: str) -> None:
    assert changed_lines((ROOT / earlier).parent / "run.sh", (ROOT / later).parent / "run.sh") <= RUN_CHANGES[later]


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_the_service_changes_by_few_lines(earlier: str, later: str) -> None:
    changed = [name for name in CHANGES[later] if name.startswith("src/")]
    lines = sum(changed_lines(ROOT / earlier / name, ROOT / later / seat(name, later)) for name in changed)
    assert lines <= SRC_CHANGES.get(later, ANY)


@pytest.mark.parametrize("script", files("*/run.sh"), ids=str)
def test_every_script_has_the_same_five_headings(script: Path) -> None:
    assert sorted(re.findall(r"heading (build|start|wait|exercise|clean up)\b", script.read_text())) == sorted(HEADINGS)


def test_lab_5_installs_as_the_others_do() -> None:
    assert (ROOT / "lab_5" / "install.sh").read_bytes() == (ROOT / LADDER[0] / "install.sh").read_bytes()


def test_the_loads_of_both_services_differ_in_what_they_ask_for() -> None:
    assert 0 < changed_lines(ROOT / "lab_5" / "load.js", ROOT / "final_project" / "load.js") <= 30


def test_drift_is_told(tmp_path: Path) -> None:
    earlier, later = ROOT / LADDER[0], tmp_path / "later"
    shutil.copytree(earlier, later, ignore=shutil.ignore_patterns(".venv", "__pycache__", ".*_cache", ".hypothesis"))
    carried = {name: name for name in names(LADDER[0])}
    assert drift(carried, earlier, later, {}) == []
    with open(later / "install.sh", "a") as script:
        script.write("# one line more\n")
    with open(later / "src" / "main.py", "a") as main:
        main.write("# one\n# two\n")
    (later / "tests" / "test_main.py").unlink()
    assert drift(carried, earlier, later, {"src/main.py": 1}) == [
        "install.sh differs",
        "src/main.py has 2 changed lines, and may have 1",
        "tests/test_main.py is gone",
    ]
