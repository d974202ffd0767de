import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import LABS, files, project, without
from scripts import Script, Start

# test.sh stops the slow tests with SIGTERM. As after Ctrl-C, pytest then runs the fixtures' clean-up.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts scripts. After the test, kills the processes that still run."""
    scripts: list[Script] = []

    def start(*command: object, environment: dict[str, str] | None = None, **variables: str) -> Script:
        folder = tmp_path / f"script{len(scripts)}"
        folder.mkdir()
        arguments = [str(argument) for argument in command]
        scripts.append(
            Script(folder, *arguments, environment=(without() if environment is None else environment) | variables)
        )
        return scripts[-1]

    yield start
    for script in scripts:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(script.process.pid, signal.SIGKILL)
        script.process.wait()


@pytest.fixture
def port() -> str:
    """A free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="session")
def installed() -> None:
    """Installs the packages of every `run.sh local`, so that tests of run.sh need no network."""
    for lab in LABS:
        groups = ["local"] if "install.sh local" in (lab / "run.sh").read_text() else []
        subprocess.run([project(lab) / "install.sh", *groups], check=True, timeout=600)


@pytest.fixture(scope="session")
def poetry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Poetry that installed a project, or a new one of the same version."""
    locks = files("*poetry.lock")
    for path in (os.environ.get("POETRY", ""), *(str(lock.parent / ".venv/poetry/bin/poetry") for lock in locks)):
        if os.access(path, os.X_OK):
            return path
    folder = tmp_path_factory.mktemp("poetry")
    pins = re.findall(r"poetry[\w-]*==[\d.]+", (locks[0].parent / "install.sh").read_text())
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *pins], check=True, timeout=600)
    return str(folder / "bin/poetry")
