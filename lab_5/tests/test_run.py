"""run.sh in a copy of this lab."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from services import HERE, free_port, responds, wait_for

PORT = str(free_port())
SETTINGS = {"DURATION": "1s", "VUS": "4", "RATE": "100", "K6_NO_THRESHOLDS": "true"}  # a machine may be slow
FAKE_LAB_4 = """#!/usr/bin/env bash
trap 'exit 143' TERM
echo 'The requests go through kubectl port-forward: one connection to one pod.'
echo "kept at $SERVICE until Ctrl-C"
while sleep 0.1; do :; done
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    shutil.copytree(HERE, tmp_path / "lab_5", ignore=shutil.ignore_patterns(".venv", ".*_cache", "local"))
    (tmp_path / "lab_5" / ".venv").symlink_to(HERE / ".venv")
    (tmp_path / "lab_4").symlink_to(HERE.parent / "lab_4")
    (tmp_path / "tmp").mkdir()
    return tmp_path / "lab_5"


def replace_lab_4(lab: Path) -> None:
    (lab.parent / "lab_4").unlink()
    (lab.parent / "lab_4").mkdir()
    (lab.parent / "lab_4" / "run.sh").write_text(FAKE_LAB_4)
    (lab.parent / "lab_4" / "run.sh").chmod(0o755)


def start(lab: Path, *arguments: str, open_files: int = 4096, **settings: str) -> subprocess.Popen[str]:
    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # bash cannot trap a signal that its parent ignores
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(open_files, 256), open_files))

    environment = os.environ | SETTINGS | {"TMPDIR": str(lab.parent / "tmp"), "PORT": PORT} | settings
    output, popen = subprocess.PIPE, partial(subprocess.Popen, text=True, start_new_session=True, preexec_fn=prepare)
    return popen([str(lab / "run.sh"), *arguments], env=environment, stdout=output, stderr=output)


def run(lab: Path, *arguments: str, open_files: int = 4096, **settings: str) -> tuple[int, str, str]:
    process = start(lab, *arguments, open_files=open_files, **settings)
    stdout, stderr = process.communicate(timeout=240)
    return process.returncode, stdout, stderr


def left_over(lab: Path) -> list[str]:
    """Processes and temporary files of a run, and the service."""
    processes = subprocess.run(["ps", "-ewwo", "args"], check=True, capture_output=True, text=True).stdout.splitlines()
    found = [line for line in processes if str(lab.parent) in line] + os.listdir(lab.parent / "tmp")
    return found + [PORT] * responds(f"http://127.0.0.1:{PORT}/health")


def test_run_measures_six_loads_says_that_a_tunnel_was_used_and_changes_no_committed_file(lab: Path, url: str) -> None:
    replace_lab_4(lab)
    status, stdout, stderr = run(lab, "minikube", SERVICE=url, K6_ITERATIONS="1", PYTHONHOME="/nowhere")  # no effect
    assert status == 0, stdout + stderr
    headings = [line for line in stdout.splitlines() if line.startswith("== ")]
    assert headings == [f"== {name}" for name in ("build", "start", "wait", "load test", "clean up")]
    note = "The requests go through kubectl port-forward: one connection to one pod."
    assert f"{url} responds. {note}" in stdout
    result = json.loads((lab / "results/local/hit-ratio.json").read_text())
    expected = [(size, rate) for size in ({"VUS": "4"}, {"RATE": "100"}) for rate in ("0", "0.5", "1")]
    settings = [{**size, "CACHE_RATE": rate, "DURATION": "1s"} for size, rate in expected]
    assert (result["note"], [each["settings"] for each in result["runs"]]) == (note, settings)
    assert all(each["responses"]["200"] == sum(each["responses"].values()) >= 50 for each in result["runs"])
    assert "open, RATE=100" in (lab / "results/local/Findings.md").read_text()
    tracked = subprocess.check_output(["git", "ls-files"], cwd=HERE, text=True).splitlines()
    assert [name for name in tracked if (lab / name).read_bytes() != (HERE / name).read_bytes()] == []
    assert left_over(lab) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_run_leaves_nothing_behind(lab: Path, url: str, number: signal.Signals, status: int) -> None:
    if number == signal.SIGTERM:
        replace_lab_4(lab)  # one of the two tests starts the real one
    process = start(lab, "local", DURATION="1h", SERVICE=url)
    wait_for(lambda: any("load.js" in line for line in left_over(lab)), "the first load")
    os.killpg(process.pid, number)  # as a terminal does
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in stderr
    assert left_over(lab) == []
    assert not list(lab.glob("results/local/*"))


@pytest.mark.parametrize(("open_files", "is_reported"), [(256, True), (4096, False)])
def test_low_limit_on_open_files_is_raised_or_reported(lab: Path, open_files: int, is_reported: bool) -> None:
    status, stdout, stderr = run(lab, f"http://127.0.0.1:{free_port()}", open_files=open_files)
    assert (status, "does not return 200" in stderr) == (1, True)
    assert ("The hard limit on open files is 256" in stdout) == is_reported


@pytest.mark.parametrize("arguments", [["fast"], ["local", "minikube"], ["127.0.0.1:8000"], ["experiments", "fast"]])
def test_wrong_argument_prints_the_usage(lab: Path, arguments: list[str]) -> None:
    status, _, stderr = run(lab, *arguments)
    assert (status, "./run.sh experiments [NAME...] [--commit]" in stderr) == (2, True)


@pytest.mark.parametrize("setting", ["DURATION=7", "VUS=many", "RATE=0", "ROUNDS=x"])
def test_wrong_setting_is_reported_in_one_line(lab: Path, setting: str) -> None:
    name, value = setting.split("=")
    environment = {**os.environ, name: value}
    script = subprocess.run([lab / "run.sh", "local"], env=environment, capture_output=True, text=True)
    assert script.returncode == 1
    assert re.fullmatch(rf"(DURATION|VUS, RATE and ROUNDS) must be .*, not '{value}'\n", script.stderr)
