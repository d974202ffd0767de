"""Starts a script as a student does: in a process group of its own, on a machine where a program may be missing."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest


def until(condition: Callable[[], bool], what: str, seconds: int = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"timed out after {seconds} s: {what}")
        time.sleep(0.01)


class Script:
    """A running script. Its output goes to files: a pipe would stay open as long as a child process does."""

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
                # bash cannot trap a signal that its parent ignores, and a job of a script ignores SIGINT
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def stdout(self) -> str:
        return self.files[0].read_text()

    @property
    def stderr(self) -> str:
        return self.files[1].read_text()

    def wait_for_output(self, text: str) -> None:
        until(lambda: text in self.stdout or self.process.poll() is not None, f"no {text!r} on stdout")
        assert text in self.stdout, self.stdout + self.stderr

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to all processes of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for_exit(self, seconds: int = 300) -> int:
        """Waits for all processes of the group. Returns the script's exit status."""
        until(lambda: self.process.poll() is not None, "the script still runs", seconds)
        until(self._group_is_empty, "a child process still runs")
        return self.process.returncode

    def _group_is_empty(self) -> bool:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError for zombies
            os.killpg(self.process.pid, 0)
            return False
        return True


Start = Callable[..., Script]


def free_port() -> str:
    """A port below 32768: from there on, Linux uses the ports for outgoing connections."""
    with contextlib.suppress(OSError), socket.socket() as free:
        free.bind(("127.0.0.1", port := random.randint(20000, 29999)))  # noqa: S311 - not a secret
        return str(port)
    return free_port()


def accepts_connections(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def commands(folder: Path, *links: str, **scripts: str) -> str:
    """A PATH that contains only these programs of this machine, and these scripts in place of others."""
    folder.mkdir()
    for link in links:
        (folder / link).symlink_to(shutil.which(link) or pytest.fail(f"no {link} here"))
    for script, text in scripts.items():
        (folder / script).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / script).chmod(0o755)
    return str(folder)
