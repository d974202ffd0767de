"""run.sh and the linters of all scripts: a failure gives one line that says what to do, and leaves nothing running."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from repository import FINAL, LABS, REBUILT, ROOT, files, name
from scripts import NO_DOCKER, Script, Start, answers, commands, until, url

SCRIPTS = files("*.sh", ".ci/run")
VENV = Path(sys.executable).parent
OLD = [lab for lab in LABS if lab not in REBUILT]
STEPS = ["build", "start", "wait", "smoke test", "clean up"]
# What bash 3.2, the bash of macOS, does not have
NOT_IN_BASH_3 = re.compile(
    r"\$\{!:|declare -[Ag]|local -[An]|mapfile|readarray|\|&|&>>|coproc|wait -n|\$\{\w+(?:\^\^?|,,?)\}|;;?&|globstar"
    r"|(?:^|[;&|{(] *)command (?!-v)",  # with set -e, a `command` that fails ends the script even as a condition
    re.MULTILINE,
)

pytestmark = pytest.mark.usefixtures("installed")
every_lab = pytest.mark.parametrize("lab", LABS, ids=name)
every_rebuilt_lab = pytest.mark.parametrize("lab", REBUILT, ids=name)


def errors(script: Script) -> list[str]:
    """Lines on standard error, but for those about Redis, which run.sh stops."""
    about_redis = re.compile("Redis fails; going on without it|serving with(out)? the cache$")
    return [line for line in script.stderr.splitlines() if not about_redis.search(line)]


# The form of the scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_script_is_executable_and_stops_at_the_first_failure(script: Path) -> None:
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in script.read_text()
    assert not re.search(r"^cd ", script.read_text(), re.MULTILINE), "CDPATH='' cd: an exported CDPATH leads elsewhere"
    staged = subprocess.check_output(["git", "ls-files", "--stage", script], cwd=ROOT, text=True)
    assert os.access(script, os.X_OK)
    assert staged == "" or staged.startswith("100755 "), "git update-index --chmod=+x"  # "": not yet added


@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.parent not in OLD], ids=name)
def test_script_uses_nothing_that_bash_3_2_lacks(script: Path) -> None:
    assert NOT_IN_BASH_3.findall(script.read_text()) == []


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{VENV}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck has no wheel for this machine")
    result = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_hadolint_finds_nothing() -> None:
    result = subprocess.run([VENV / "hadolint", *files("*Dockerfile")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_yamllint_finds_nothing() -> None:
    rules = "{extends: relaxed, rules: {line-length: disable}}"
    yamllint = [sys.executable, "-m", "yamllint", "--strict", "-d", rules]
    result = subprocess.run([*yamllint, *files("*.yml", "*.yaml")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


# run.sh: arguments and requirements


@every_lab
@pytest.mark.parametrize("arguments", [["vagrant"], ["local", "--keeep"], ["", "local"]])
def test_unknown_argument_prints_the_usage_and_exits_with_2(lab: Path, arguments: list[str], start: Start) -> None:
    script = start(lab / "run.sh", *arguments)
    assert script.wait_for_exit() == 2
    assert re.fullmatch(r"usage: \./run\.sh \[local\|docker[|a-z]*\] \[--keep\].*\n", script.stderr)
    assert script.stdout == ""


@pytest.mark.parametrize(
    ("lab", "number"),
    [(ROOT / "lab_1", number) for number in ("http", "80a", "-1", "8000 ", "0", "08000", "65536", "9" * 20)]
    + [(lab, "65536") for lab in LABS[1:]],
)
def test_invalid_port_is_named(lab: Path, number: str, start: Start) -> None:
    script = start(lab / "run.sh", "local", PORT=number)
    assert script.wait_for_exit() == 1
    assert re.fullmatch(rf"PORT (must be|is) a number from 1 to 65535, not '{number}'\n", script.stderr)
    assert script.stdout == ""


@every_lab
def test_port_in_use_is_reported_with_another_to_try(lab: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        script = start(lab / "run.sh", "local", PORT=str(number))
        assert script.wait_for_exit() == 1
    assert script.stderr == f"port {number} is in use: PORT={number + 1} ./run.sh\n"
    assert script.stdout == ""


@every_lab
def test_docker_mode_without_docker_is_an_error(lab: Path, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "docker", PORT=port, **NO_DOCKER)
    assert script.wait_for_exit() == 1
    assert script.stderr == "Docker is not installed or not running: start it, or use ./run.sh local\n"
    assert script.stdout == ""


@every_rebuilt_lab
def test_missing_curl_is_an_error(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    script = start(lab / "run.sh", "local", PORT=port, PATH=commands(tmp_path / "bin", "bash", "dirname"))
    assert script.wait_for_exit() == 1
    assert re.fullmatch(r"curl is not installed: https://\S+\n", script.stderr)
    assert script.stdout == ""


# run.sh: its work


@pytest.mark.parametrize("lab", LABS[:-1], ids=name)
def test_without_a_mode_and_without_docker_it_runs_locally(lab: Path, port: str, start: Start) -> None:
    script = start(lab / "run.sh", PORT=port, **NO_DOCKER)
    assert script.wait_for_exit() == 0, script.stdout + script.stderr
    first, *lines = script.stdout.splitlines()
    assert re.fullmatch(r".* not installed or not running; (continuing with|going on as) \./run\.sh local", first)
    steps = [line[3:] for line in lines if line.startswith("== ")]
    assert steps == STEPS or (lab in OLD and steps == [*STEPS[:3], "exercise", STEPS[4]])
    assert f"{'$' if lab in OLD else '+'} curl {url(port)}/" in lines
    assert errors(script) == []
    assert not answers(port)


@pytest.mark.parametrize("lab", [lab for lab in LABS[2:] if lab != FINAL], ids=name)
def test_without_a_mode_and_without_minikube_it_runs_locally(
    lab: Path, port: str, tmp_path: Path, start: Start
) -> None:
    needs = ("bash", "cat", "cksum", "cmp", "curl", "dirname", "mktemp", "rm", "sleep")
    path = commands(tmp_path / "bin", *needs, docker="", kubectl="")
    script = start(lab / "run.sh", PORT=port, PATH=path)
    assert script.wait_for_exit() == 0, script.stdout + script.stderr
    assert re.match(r"minikube is not installed; (continuing with|going on as) \./run\.sh local\n", script.stdout)


@pytest.mark.parametrize(
    ("lab", "moment", "number"),
    [
        pytest.param(lab, moment, number, id=f"{name(lab)} {moment} {number.name}")
        for lab in LABS
        for moment in ("== start", "== wait", "kept at ")
        for number in (signal.SIGINT, signal.SIGTERM)
        if lab == LABS[0] or (moment, number) == ("kept at ", signal.SIGINT)
    ],
)
def test_interrupted_run_stops_the_service(lab: Path, moment: str, number: int, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "local", "--keep", PORT=port)
    script.wait_for_output(moment)
    if moment == "kept at ":
        assert f"kept at {url(port)} until Ctrl-C" in script.stdout
        assert answers(port)
    if number == signal.SIGINT:
        script.interrupt()
    else:
        script.process.terminate()
    assert script.wait_for_exit() == 128 + number
    assert not answers(port)
    if moment != "== start":  # there the service may not have started
        assert "\n== clean up\nstopped process " in script.stdout


@every_rebuilt_lab
@pytest.mark.parametrize("obstacle", ["half of a request", "a server that does not respond"])
def test_interrupted_run_ends_whatever_the_server_and_its_clients_do(
    lab: Path, obstacle: str, port: str, start: Start
) -> None:
    script = start(lab / "run.sh", "local", "--keep", PORT=port)
    script.wait_for_output("kept at ")
    with socket.create_connection(("127.0.0.1", int(port))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
        if obstacle == "a server that does not respond":
            (server,) = subprocess.check_output(["pgrep", "-P", str(script.process.pid), "-f", "uvicorn"]).split()
            os.kill(int(server), signal.SIGSTOP)
        script.interrupt()
        assert script.wait_for_exit() == 130
    assert not answers(port)


@every_rebuilt_lab
def test_closed_standard_output_does_not_prevent_the_clean_up(lab: Path, port: str, start: Start) -> None:
    """./run.sh | head"""
    script = start("bash", "-c", f"{lab}/run.sh local | sed /smoke/q", PORT=port)
    assert script.wait_for_exit() == 0  # that of sed
    assert "== smoke test" in script.stdout
    assert not answers(port)


@pytest.mark.parametrize("lab", [ROOT / "lab_2"], ids=name)
def test_error_of_a_service_that_does_not_start_is_shown(lab: Path, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "local", PORT=port, LOG_LEVEL="loud")
    assert script.wait_for_exit() == 1
    service, own = script.stderr.splitlines()
    assert service.startswith("Error: LOG_LEVEL: ")
    assert own == "the service stopped"
    assert not answers(port)


@every_rebuilt_lab
@pytest.mark.parametrize(
    ("response", "message"),
    [("{}\n500", "expected status 200, not 500"), ("{}\n200", r'expected "\w+" in the response')],
)
def test_unexpected_response_is_a_failure(
    lab: Path, response: str, message: str, port: str, tmp_path: Path, start: Start
) -> None:
    path = commands(tmp_path / "bin", curl=f"printf '%s' '{response}'") + ":" + os.environ["PATH"]
    script = start(lab / "run.sh", "local", PORT=port, PATH=path)
    assert script.wait_for_exit() == 1
    assert re.fullmatch(message + "\n", script.stderr)
    assert "== clean up" in script.stdout
    assert not answers(port)


# run.sh: the user's settings


@every_rebuilt_lab
def test_settings_of_other_python_projects_do_not_reach_the_service(
    lab: Path, port: str, tmp_path: Path, start: Start
) -> None:
    for module in ("fastapi", "numpy", "typing_extensions"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('of another project')")
    (tmp_path / ".curlrc").write_text("include\nproxy = http://127.0.0.1:9\n")
    python = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONWARNINGS": "error"}
    server = {"UVICORN_PORT": "9", "UVICORN_ROOT_PATH": "/x", "WEB_CONCURRENCY": "2"}
    script = start(lab / "run.sh", "local", PORT=port, HOME=str(tmp_path), **python, **server)
    assert script.wait_for_exit() == 0, script.stdout + script.stderr
    assert errors(script) == []


@pytest.mark.parametrize("variables", [{"NO_PROXY": "corp"}, {"no_proxy": "corp"}, {"NO_PROXY": "a", "no_proxy": "b"}])
def test_both_spellings_of_no_proxy_are_honoured(
    variables: dict[str, str], port: str, tmp_path: Path, start: Start
) -> None:
    show = f'printf "%s\\n" "$no_proxy" "$NO_PROXY" >"{tmp_path}/seen"; exit 1'
    path = commands(tmp_path / "bin", curl=show) + ":" + os.environ["PATH"]
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    script = start(ROOT / "lab_1" / "run.sh", "local", environment=environment | variables, PORT=port, PATH=path)
    until((tmp_path / "seen").exists, "curl is called")
    script.interrupt()
    script.wait_for_exit()
    for line in (tmp_path / "seen").read_text().splitlines():
        assert {"127.0.0.1", "localhost", *variables.values()} == set(line.split(","))


def test_clone_on_a_system_with_carriage_returns_has_line_feeds(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", "--config", "core.autocrlf=true", ROOT, tmp_path / "clone"], check=True)
    scripts = [tmp_path / "clone" / name(path) for path in SCRIPTS]
    models = [tmp_path / "clone" / name(path) for path in files("*manifest.json")]
    assert [path for path in (*scripts, *models) if path.exists() and b"\r\n" in path.read_bytes()] == []
