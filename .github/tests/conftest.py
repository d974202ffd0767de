import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import LABS, project, without
from scripts import Script, Start

# test.sh stops by SIGTERM what runs in the background: the tests end as by Ctrl-C, and what they began is cleaned up
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a script, and ends what is left of it after the test."""
    started: list[Script] = []

    def start(*command: object, environment: dict[str, str] | None = None, **variables: str) -> Script:
        folder = tmp_path / f"script{len(started)}"
        folder.mkdir()
        words = [str(word) for word in command]
        started.append(
            Script(folder, *words, environment=(without() if environment is None else environment) | variables)
        )
        return started[-1]

    yield start
    for script in started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(script.process.pid, signal.SIGKILL)
        script.process.wait()


@pytest.fixture
def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="session")
def installed() -> None:
    """What `run.sh local` runs, so that its tests need no network and no Python."""
    for lab in LABS:
        (words,) = re.findall(r"local\) \./(install\.sh.*) ;;", (lab / "run.sh").read_text())
        subprocess.run([project(lab) / words.split()[0], *words.split()[1:]], check=True, timeout=600)
