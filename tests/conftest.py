import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import LAB_5, LABS, project, without
from scripts import Script, Start, free_port


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts scripts. After the test, kills the processes that still run."""
    scripts: list[Script] = []

    def start(*command: object, **variables: str) -> Script:
        folder = tmp_path / f"script{len(scripts)}"
        folder.mkdir()
        scripts.append(Script(folder, *map(str, command), environment=without(**variables)))
        return scripts[-1]

    yield start
    for script in scripts:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(script.process.pid, signal.SIGKILL)
        script.process.wait()


@pytest.fixture
def port() -> str:
    return free_port()


@pytest.fixture(scope="session")
def installed() -> None:
    """Installs the packages of each lab, for the commands of its page. It costs no time where they exist."""
    for lab in [*LABS, LAB_5]:
        subprocess.run([project(lab) / "install.sh"], check=True, timeout=600)
