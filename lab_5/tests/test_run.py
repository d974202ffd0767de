"""run.sh in a copy of this lab, so that what it finds does not come between the committed results."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from services import HERE, free_port, wait_for


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """lab_4 is beside it."""
    shutil.copytree(HERE, tmp_path / "lab_5", ignore=shutil.ignore_patterns(".*", "results", "images"))
    (tmp_path / "lab_5" / "images").mkdir()
    (tmp_path / "lab_5" / ".venv").symlink_to(HERE / ".venv")
    (tmp_path / "lab_4").symlink_to(HERE.parent / "lab_4")
    return tmp_path / "lab_5"


def environment(lab: Path, **settings: str) -> dict[str, str]:
    """Temporary files lie in a folder of the test's own: by it, or by the ports, what is left behind is known."""
    (lab.parent / "tmp").mkdir(exist_ok=True)
    ports = {"PORT": str(free_port()), "PROMETHEUS_PORT": str(free_port()), "TMPDIR": str(lab.parent / "tmp")}
    quiet = {"DURATION": "2s", "USERS": "4", "RATE": "50", "P95": "20000", "P99": "20000"}  # a machine may be slow
    return os.environ | ports | quiet | settings


def run(lab: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [str(lab / "run.sh"), *words]
    return subprocess.run(command, env=environment(lab, **settings), capture_output=True, text=True, timeout=240)


def left(lab: Path, port: str) -> list[str]:
    listed = subprocess.run(["ps", "-ewwo", "args"], check=True, capture_output=True, text=True).stdout.splitlines()
    processes = [line for line in listed if f"--port {port}" in line or str(lab.parent / "tmp") in line]
    kept = [path.name for path in (lab.parent / "tmp").iterdir()]
    return processes + kept


def test_it_starts_a_service_measures_it_and_stops_it(lab: Path) -> None:
    port = str(free_port())
    done = run(lab, "local", PORT=port, RUN="7")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in (lab / "results").iterdir()}
    assert set(found) == {f"{shape}-{rate}-7" for shape in ("closed", "open") for rate in ("0", "0.5", "1")}
    for each, result in found.items():
        assert result["answers"] == {"200": sum(result["sent"].values())}
        assert [result["settings"][of] for of in ("SHAPE", "CACHE_RATE")] == each.split("-")[:2]
        assert result["settings"]["USERS"] == "4"
        assert result["versions"]["lab_4"]
    assert [line for line in done.stdout.splitlines() if line.startswith("== ")] == [
        f"== {each}" for each in ("build", "start", "wait", "exercise", "clean up")
    ]
    assert (lab / "images" / "dashboard-lab_4.png").exists() == bool(shutil.which("prometheus"))
    assert left(lab, port) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_nothing_behind(lab: Path, number: signal.Signals, code: int) -> None:
    settings = environment(lab, DURATION="1h")
    command = [str(lab / "run.sh"), "local"]
    with open(lab.parent / "said", "w") as said:
        started = subprocess.Popen(
            command,
            env=settings,
            start_new_session=True,
            stdout=said,
            stderr=subprocess.STDOUT,
            # bash cannot trap what was ignored before it, as SIGINT is in a job of a script
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    try:
        wait_for(lambda: any("k6" in line for line in left(lab, settings["PORT"])), "the first run", 60)
        started.send_signal(number)
        assert started.wait(60) == code
    finally:
        if started.poll() is None:
            started.terminate()
            started.wait(60)
    wait_for(lambda: left(lab, settings["PORT"]) == [], "all gone", 30)
    assert "Traceback" not in (lab.parent / "said").read_text()
    assert not list(lab.glob("results/*"))


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def test_a_port_that_is_taken_is_told_in_a_line(lab: Path, taken: str) -> None:
    done = run(lab, "local", PORT=taken)
    assert done.returncode == 1
    assert f"port {taken} is in use" in done.stderr


def test_a_url_where_nothing_answers_is_told(lab: Path) -> None:
    done = run(lab, f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "does not predict" in done.stderr
    assert not list(lab.glob("results/*"))


@pytest.mark.parametrize("words", [["fast"], ["local", "minikube"], ["127.0.0.1:8000"]])
def test_what_it_does_not_know_is_answered_with_what_it_does(lab: Path, words: list[str]) -> None:
    done = run(lab, *words)
    assert done.returncode == 2
    assert done.stderr == "usage: ./run.sh [local|docker|minikube|URL]\n"


@pytest.mark.parametrize(("name", "value"), [("DURATION", "7"), ("RUN", "first"), ("RUN", "0")])
def test_a_wrong_setting_is_told_in_a_line(lab: Path, name: str, value: str) -> None:
    done = run(lab, "local", **{name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} is ")
    assert len(done.stderr.splitlines()) == 1
