"""run.sh, and the linters of all scripts. The scripts of the labs share their text (test_ladder.py): one is enough."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from repository import DEAD_URL, LABS, ROOT, files, name
from scripts import Start, accepts_connections, commands

SCRIPTS = files("*.sh", ".ci/run")
RUN, LAST = LABS[0] / "run.sh", LABS[-1] / "run.sh"
LINTERS: dict[str, Sequence[object]] = {
    "shellcheck": SCRIPTS,
    "hadolint": files("*Dockerfile"),
    "yamllint": ["--strict", "-d", "{extends: relaxed, rules: {line-length: disable}}", *files("*.yml", "*.yaml")],
    "actionlint": files(".github/workflows/*.yml"),
    "zizmor": ["--offline", "--no-config", "--strict-collection", ROOT / ".github"],
}
# What bash 3.2, the bash of macOS, does not have
NOT_IN_BASH_3 = re.compile(
    r"\$\{!:|declare -[Ag]|local -[An]|mapfile|readarray|\|&|&>>|coproc|wait -n|\$\{\w+(?:\^\^?|,,?)\}|;;?&|globstar"
    r"|(?:^|[;&|{(] *)command (?!-v)",  # with set -e, a `command` that fails ends the script even as a condition
    re.MULTILINE,
)

pytestmark = pytest.mark.usefixtures("installed")


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_script_stops_at_the_first_failure_and_runs_in_bash_3_2(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert not re.search(r"^cd ", text, re.MULTILINE), "CDPATH='' cd: an exported CDPATH leads elsewhere"
    assert NOT_IN_BASH_3.findall(text) == []
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("linter", LINTERS)
def test_linter_finds_nothing(linter: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # actionlint calls this shellcheck, too
    program = shutil.which(linter, path=path)
    if program is None:
        pytest.skip(f"{linter} has no wheel for this machine")
    command = [program, *map(str, LINTERS[linter])]
    result = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("lab", LABS, ids=name)
@pytest.mark.parametrize("arguments", [["vagrant"], ["local", "--keeep"]])
def test_unknown_argument_prints_the_usage_and_exits_with_2(lab: Path, arguments: list[str], start: Start) -> None:
    script = start(lab / "run.sh", *arguments)
    assert script.wait_for_exit() == 2
    assert re.fullmatch(r"usage: \./run\.sh \[local\|docker[|a-z]*\] \[--keep\].*\n", script.stderr)


@pytest.mark.parametrize("value", ["http", "80a", "-1", "0", "08000", "65536", "prod"])
def test_invalid_setting_is_an_error(value: str, start: Start) -> None:
    name, allowed = ("OVERLAY", "dev or autoscaling") if value == "prod" else ("PORT", "a number from 1 to 65535")
    script = start(LAST, "local", **{name: value})
    assert (script.wait_for_exit(), script.stderr) == (1, f"{name} must be {allowed}, not '{value}'\n")


@pytest.mark.parametrize("lab", LABS, ids=name)
def test_port_in_use_is_reported_with_another_to_try(lab: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        script = start(lab / "run.sh", "local", PORT=str(number))
        assert script.wait_for_exit() == 1
    assert script.stderr == f"port {number} is in use: PORT={number + 1} ./run.sh\n"
    assert script.stdout == ""


def test_docker_mode_without_docker_and_missing_curl_are_errors(port: str, tmp_path: Path, start: Start) -> None:
    docker = start(LAST, "docker", PORT=port, DOCKER_HOST="tcp://127.0.0.1:9")
    assert docker.wait_for_exit() == 1
    assert docker.stderr == "Docker is not installed or not running: start it, or use ./run.sh local\n"
    curl = start(LAST, "local", PORT=port, PATH=commands(tmp_path / "bin", "bash", "dirname"))
    assert curl.wait_for_exit() == 1
    assert re.fullmatch(r"curl is not installed: https://\S+\n", curl.stderr)


@pytest.mark.parametrize("missing", ["Docker is not installed or not running", "minikube is not installed"])
def test_without_a_mode_and_a_program_it_runs_locally(missing: str, port: str, tmp_path: Path, start: Start) -> None:
    no_docker = missing.startswith("Docker")
    path = commands(tmp_path / "bin", "bash", "curl", "dirname", docker=f"exit {int(no_docker)}", kubectl="")
    run = start(RUN if no_docker else LAST, PORT=port, PATH=path)
    run.wait_for_exit()  # at the first step, for which this PATH lacks programs
    assert run.stdout.startswith(f"{missing}; continuing with ./run.sh local\n\n== build\n")


@pytest.mark.parametrize("moment", ["== start", "== wait", "kept at "])
def test_interrupted_run_stops_the_service(moment: str, port: str, start: Start) -> None:
    number = signal.SIGTERM if moment == "== wait" else signal.SIGINT
    script = start(RUN, "local", "--keep", PORT=port)
    script.wait_for_output(moment)
    os.killpg(script.process.pid, number)
    assert script.wait_for_exit() == 128 + number
    assert not accepts_connections(port)


def test_server_that_does_not_respond_is_killed(port: str, tmp_path: Path, start: Start) -> None:
    """After 80 times 0.1 s. In this test `sleep` returns at once."""
    path = commands(tmp_path / "bin", sleep="") + ":" + os.environ["PATH"]
    script = start(RUN, "local", "--keep", PORT=port, PATH=path)
    script.wait_for_output("kept at ")
    (server,) = subprocess.check_output(["pgrep", "-P", str(script.process.pid), "-f", "uvicorn"]).split()
    os.kill(int(server), signal.SIGSTOP)
    script.interrupt()
    assert script.wait_for_exit() == 130
    assert not accepts_connections(port)


def test_closed_standard_output_does_not_prevent_the_clean_up(port: str, start: Start) -> None:
    """./run.sh | head"""
    script = start("bash", "-c", f"{RUN} local | sed /smoke/q", PORT=port)
    assert script.wait_for_exit() == 0  # that of sed
    assert "== smoke test" in script.stdout
    assert not accepts_connections(port)


def test_unexpected_response_is_a_failure(port: str, tmp_path: Path, start: Start) -> None:
    path = commands(tmp_path / "bin", curl="printf '{}\\n500'") + ":" + os.environ["PATH"]
    script = start(RUN, "local", PORT=port, PATH=path)
    assert (script.wait_for_exit(), script.stderr) == (1, "expected status 200, not 500\n")
    assert "== clean up" in script.stdout
    assert not accepts_connections(port)


def test_settings_of_the_user_do_not_reach_the_service(port: str, tmp_path: Path, start: Start) -> None:
    (tmp_path / "fastapi.py").write_text("raise ImportError('of another project')")
    (tmp_path / ".curlrc").write_text(f"include\nproxy = {DEAD_URL}\n")
    python = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONWARNINGS": "error"}
    server = {"UVICORN_PORT": "9", "UVICORN_ROOT_PATH": "/x", "WEB_CONCURRENCY": "2"}
    proxy = {"http_proxy": DEAD_URL, "NO_PROXY": "a.example", "no_proxy": "b.example"}
    script = start(RUN, "local", PORT=port, HOME=str(tmp_path), **python, **server, **proxy)
    assert (script.wait_for_exit(), script.stderr) == (0, "")
