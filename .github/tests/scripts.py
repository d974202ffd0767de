"""A script as a student starts it: at a terminal, on a machine that may lack something."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

NO_DOCKER = {"DOCKER_HOST": "tcp://127.0.0.1:9"}


def until(condition: Callable[[], bool], what: str) -> None:
    """Polls, five minutes at most."""
    for _ in range(30_000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail(f"five minutes, and not {what}")


class Script:
    """A script in a process group of its own, as at a terminal. It writes to files, not to pipes: what it leaves
    running would hold those open, and the test would wait for it."""

    def __init__(self, folder: Path, *command: str, environment: dict[str, str]) -> None:
        self.files = folder / "stdout", folder / "stderr"
        with self.files[0].open("wb") as stdout, self.files[1].open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                # bash cannot trap what was ignored before it, as SIGINT is in a job of a script
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def stdout(self) -> str:
        return self.files[0].read_text()

    @property
    def stderr(self) -> str:
        return self.files[1].read_text()

    def says(self, text: str) -> None:
        until(lambda: text in self.stdout or self.process.poll() is not None, f"said: {text}")
        assert text in self.stdout, self.stdout + self.stderr

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to all processes of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ends(self) -> int:
        until(lambda: self.process.poll() is not None, "ended")
        until(self.alone, "alone: it left a process running")
        return self.process.returncode

    def alone(self) -> bool:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only dead ones
            os.killpg(self.process.pid, 0)
            return False
        return True


Start = Callable[..., Script]


def answers(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def commands(folder: Path, *links: str, **scripts: str) -> str:
    """A PATH that has nothing but these programs of this machine and these stand-ins."""
    folder.mkdir()
    for link in links:
        (folder / link).symlink_to(shutil.which(link) or pytest.fail(f"no {link} here"))
    for script, text in scripts.items():
        (folder / script).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / script).chmod(0o755)
    return str(folder)


def url(port: str) -> str:
    return f"http://127.0.0.1:{port}"
