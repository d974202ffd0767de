"""The scripts, with what a student's machine may lack and what a student may do: one line that says what to do, and
nothing left running or half-made."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from repository import FINAL, LABS, ROOT, dead_url, files, name, project, without
from scripts import NO_DOCKER, Start, answers, commands, until, url

SCRIPTS = files("*.sh", ".ci/run")
HEADINGS = ["build", "start", "wait", "exercise", "clean up"]
VENV = Path(sys.executable).parent

pytestmark = pytest.mark.usefixtures("installed")
every_lab = pytest.mark.parametrize("lab", LABS, ids=name)
every_lab_but_the_final = pytest.mark.parametrize("lab", [lab for lab in LABS if lab != FINAL], ids=name)


# What they look like


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_can_be_run_and_stops_at_the_first_failure(script: Path) -> None:
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in script.read_text()
    staged = subprocess.run(
        ["git", "ls-files", "--stage", script], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert os.access(script, os.X_OK)
    assert staged == "" or staged.startswith("100755 "), "git update-index --chmod=+x"  # "": not yet added


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{VENV}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("needs shellcheck, which has no wheel for this machine")
    found = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_hadolint_finds_nothing() -> None:
    found = subprocess.run([VENV / "hadolint", *files("*Dockerfile")], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_yamllint_finds_nothing() -> None:
    rules = "{extends: relaxed, rules: {line-length: disable}}"
    found = subprocess.run(
        [VENV / "yamllint", "--strict", "-d", rules, *files("*.yml", "*.yaml")], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


def test_install_sh_is_the_same_everywhere() -> None:
    assert len({path.read_bytes() for path in files("*install.sh")}) == 1


# run.sh: what it refuses


@every_lab
@pytest.mark.parametrize("words", [["vagrant"], ["local", "--keeep"], ["", "local"]])
def test_an_unknown_mode_gets_the_list_of_modes(lab: Path, words: list[str], start: Start) -> None:
    script = start(lab / "run.sh", *words)
    assert script.ends() == 2
    assert re.fullmatch(r"usage: \./run\.sh \[local\|docker[|a-z]*\] \[--keep\].*\n", script.stderr)
    assert script.stdout == ""


@every_lab
@pytest.mark.parametrize("number", ["http", "80a", "-1", "8000 ", "0", "08000", "65536", "99999999999999999999"])
def test_a_port_that_is_none_is_told(lab: Path, number: str, start: Start) -> None:
    script = start(lab / "run.sh", "local", PORT=number)
    assert script.ends() == 1
    assert script.stderr == f"PORT is a number from 1 to 65535, not '{number}'\n"
    assert script.stdout == ""


@every_lab
def test_a_port_in_use_is_told_with_another_to_try(lab: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        script = start(lab / "run.sh", "local", PORT=str(number))
        assert script.ends() == 1
    assert script.stderr == f"port {number} is in use: PORT={number + 1} ./run.sh\n"
    assert script.stdout == ""


@every_lab
def test_docker_that_was_typed_and_does_not_run_is_told(lab: Path, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "docker", PORT=port, **NO_DOCKER)
    assert script.ends() == 1
    assert script.stderr == "Docker is not installed or not running: start it, or use ./run.sh local\n"
    assert script.stdout == ""


# run.sh: what it does


@pytest.mark.parametrize(
    ("lab", "surroundings"),
    [
        pytest.param(lab, surroundings, id=f"{name(lab)} {surroundings}")
        for lab in LABS
        for surroundings in ("Docker does not run", "neither Docker nor curl")
        if lab != FINAL or surroundings == "neither Docker nor curl"
    ],
)
def test_with_no_mode_and_no_docker_it_says_so_and_goes_on_local(
    lab: Path, surroundings: str, port: str, tmp_path: Path, start: Start
) -> None:
    bare = {"PATH": commands(tmp_path / "bin", "bash", "cmp", "dirname", "mktemp", "rm", "sleep")}
    script = start(lab / "run.sh", PORT=port, **(NO_DOCKER if surroundings == "Docker does not run" else bare))
    assert script.ends() == 0, script.stdout + script.stderr
    first, *lines = script.stdout.splitlines()
    assert first.endswith("not installed or not running; going on as ./run.sh local")
    assert [line[3:] for line in lines if line.startswith("== ")] == HEADINGS
    assert f"$ curl {url(port)}/" in lines
    assert [line for line in script.stderr.splitlines() if "Redis fails; going on without it" not in line] == []
    assert not answers(port)


@pytest.mark.parametrize(
    "lab", [lab for lab in LABS if lab != FINAL and "minikube" in (lab / "run.sh").read_text()], ids=name
)
def test_with_no_mode_and_no_minikube_it_goes_on_local(lab: Path, port: str, tmp_path: Path, start: Start) -> None:
    path = commands(tmp_path / "bin", "bash", "cmp", "dirname", "mktemp", "rm", "sleep", docker="", kubectl="")
    script = start(lab / "run.sh", PORT=port, PATH=path)
    assert script.ends() == 0, script.stdout + script.stderr
    assert script.stdout.startswith("minikube is not installed; going on as ./run.sh local\n")


@pytest.mark.parametrize(
    ("lab", "moment", "number"),
    [
        pytest.param(lab, moment, number, id=f"{name(lab)} {moment} {number.name}")
        for lab in LABS
        for moment in ("== start", "== wait", "kept at ")
        for number in (signal.SIGINT, signal.SIGTERM)
        if lab != FINAL or (moment, number) == ("kept at ", signal.SIGINT)
    ],
)
def test_when_it_is_stopped_it_cleans_up(lab: Path, moment: str, number: int, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "local", "--keep", PORT=port)
    script.says(moment)
    if moment == "kept at ":
        assert f"kept at {url(port)} until Ctrl-C" in script.stdout
        assert answers(port)
    if number == signal.SIGINT:
        script.interrupt()
    else:
        script.process.terminate()
    assert script.ends() == 128 + number
    assert not answers(port)
    if moment != "== start":  # there it may not have started one
        assert "\n== clean up\nstopped process " in script.stdout


@every_lab_but_the_final
def test_ctrl_c_before_it_has_noted_the_service_stops_that_too(
    lab: Path, port: str, tmp_path: Path, start: Start
) -> None:
    """The shell may be told between starting the service and the next command; here it is always then."""
    (tmp_path / "env").write_text('trap \'[ "$BASH_COMMAND" != "pid=\\$!" ] || kill -INT $$\' DEBUG')
    script = start(lab / "run.sh", "local", PORT=port, BASH_ENV=str(tmp_path / "env"))
    assert script.ends() == 130
    assert "== wait" not in script.stdout
    assert "stopped process " in script.stdout


@every_lab
def test_when_nobody_reads_on_it_cleans_up(lab: Path, port: str, start: Start) -> None:
    """./run.sh | head"""
    script = start("bash", "-c", f"{lab}/run.sh local | sed /exercise/q", PORT=port)
    assert script.ends() == 0  # that of sed
    assert "== exercise" in script.stdout
    assert not answers(port)


@pytest.mark.parametrize("lab", LABS[1:], ids=name)  # the first has no settings
def test_a_service_that_stops_at_its_start_has_the_last_word(lab: Path, port: str, start: Start) -> None:
    script = start(lab / "run.sh", "local", PORT=port, LOG_LEVEL="loud")
    assert script.ends() == 1
    service, own = script.stderr.splitlines()
    assert service.startswith("LOG_LEVEL: ")
    assert own == "the server stopped"
    assert not answers(port)


@every_lab
@pytest.mark.parametrize(
    ("answer", "told"), [("{}\n500", "status 500 where 200 was expected"), ("{}\n200", r'no "\w+" in the answer')]
)
def test_a_wrong_answer_is_a_failure(
    lab: Path, answer: str, told: str, port: str, tmp_path: Path, start: Start
) -> None:
    path = commands(tmp_path / "bin", curl=f"printf '%s' '{answer}'") + ":" + os.environ["PATH"]
    script = start(lab / "run.sh", "local", PORT=port, PATH=path)
    assert script.ends() == 1
    assert re.fullmatch(told + "\n", script.stderr)
    assert "== clean up" in script.stdout
    assert not answers(port)


# install.sh


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project of a lab that was just cloned, below that lab's run.sh."""
    folder = tmp_path / name(project(LABS[0]))
    folder.mkdir(parents=True)
    shutil.copy(LABS[0] / "run.sh", folder.parent)
    for file in ("pyproject.toml", "poetry.lock", "install.sh"):
        shutil.copy(project(LABS[0]) / file, folder)
    return folder


def only_index(url: str) -> dict[str, str]:
    """This environment, with pip kept from all other sources, and no Poetry."""
    settings = [key for key in os.environ if key.startswith("PIP_")]
    return without(*settings, "POETRY", PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=url)


PINNED = "echo 'fastapi==0.1 --hash=sha256:" + "0" * 64 + "' > .venv/requirements.txt"


@pytest.mark.parametrize(("command", "there"), [("../run.sh", "no Poetry"), ("install.sh", "Poetry")])
def test_without_a_network_nothing_half_made_is_left(
    command: str, there: str, port: str, copy: Path, tmp_path: Path, start: Start
) -> None:
    commands(tmp_path / "bin", poetry=PINNED)
    poetry = {"POETRY": str(tmp_path / "bin" / "poetry")} if there == "Poetry" else {}
    words = ["local"] if command == "../run.sh" else []
    script = start(copy / command, *words, environment=only_index(dead_url()) | poetry, PORT=port)
    assert script.ends() == 1
    assert re.fullmatch(r"the packages could not be installed; is there a network\? pip says: ERROR.+\n", script.stderr)
    assert not (copy / ".venv").exists()


def test_an_environment_of_another_lock_is_made_anew(copy: Path, tmp_path: Path, start: Start) -> None:
    """Told by a Poetry that fails: one is only asked where there is something to install."""
    (copy / ".venv").mkdir()
    for file in ("installed-main", "poetry.lock", "of-old"):
        (copy / ".venv" / file).write_text("of an older lock")
    commands(tmp_path / "bin", poetry="ls .venv; exit 3")
    script = start(copy / "install.sh", POETRY=str(tmp_path / "bin" / "poetry"))
    assert script.ends() == 3
    assert "pyvenv.cfg" in script.stdout
    assert "of-old" not in script.stdout
    assert not (copy / ".venv").exists()


def test_a_python_too_old_is_told(copy: Path, tmp_path: Path, start: Start) -> None:
    old = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13", "python3.14"), "exit 1")
    script = start(copy / "install.sh", PATH=commands(tmp_path / "bin", "bash", "dirname", **old))
    assert script.ends() == 1
    assert script.stderr == "Python 3.11 to 3.14 is needed: https://www.python.org/downloads\n"
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize("younger", ["python3.11", "python3.14"])
def test_another_python_is_taken_where_python3_is_too_old(
    younger: str, copy: Path, tmp_path: Path, start: Start
) -> None:
    """Told by the next refusal, which names it: this one cannot make environments."""
    two = {"python3": "exit 1", younger: '[[ "$*" != *ensurepip* ]]'}
    script = start(copy / "install.sh", PATH=commands(tmp_path / "bin", "bash", "dirname", **two))
    assert script.ends() == 1
    assert script.stderr.startswith(f"{younger} cannot make virtual environments; ")


def test_a_python_without_venv_is_told_with_the_package_to_install(copy: Path, tmp_path: Path, start: Start) -> None:
    debian = f'[[ "$*" != *ensurepip* ]] && exec "{sys.executable}" "$@"'
    script = start(copy / "install.sh", PATH=commands(tmp_path / "bin", "bash", "dirname", python3=debian))
    assert script.ends() == 1
    assert script.stderr.count("\n") == 1
    assert script.stderr.endswith("on Debian and Ubuntu: apt install python3-venv\n")
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize(("command", "moment"), [("install.sh", "venv"), ("../run.sh", "pip")])
def test_ctrl_c_while_it_installs_leaves_nothing_half_made(
    command: str, moment: str, port: str, copy: Path, start: Start
) -> None:
    words = ["local"] if command == "../run.sh" else []
    with socket.create_server(("127.0.0.1", 0)) as index:  # takes pip's question and never answers
        index.settimeout(120)
        environment = only_index(url(str(index.getsockname()[1])))
        script = start(copy / command, *words, environment=environment, PORT=port)
        if moment == "venv":
            until((copy / ".venv").exists, "made .venv")
            script.interrupt()
        else:
            connection, _ = index.accept()
            script.interrupt()
            connection.close()
        assert script.ends() == 130
    assert "Traceback" not in script.stderr
    assert not (copy / ".venv").exists()


@every_lab
def test_a_second_install_does_nothing(lab: Path, tmp_path: Path, start: Start) -> None:
    """It has no Python here, and no pip, with which it could."""
    script = start(project(lab) / "install.sh", PATH=commands(tmp_path / "bin", "bash", "cmp", "dirname"))
    assert script.ends() == 0
    assert (script.stdout, script.stderr) == ("nothing to install\n", "")
