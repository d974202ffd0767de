"""Starts the service, or another app, for a measurement, and stops it afterwards."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, Request, build_opener

PROJECT = Path(__file__).resolve().parents[1]
HTTP_PARSER = os.environ.get("HTTP", "finalproject.server:Protocol")
STOP_SECONDS = 30
opener = build_opener(ProxyHandler({}))  # the servers are on this machine: no proxy


class MeasurementError(Exception):
    """A program is missing, a server did not start, or a request failed."""


class Server(NamedTuple):
    url: str
    pid: int
    start_seconds: float  # from start to the first response with status 200


def free_port() -> int:
    """A port below 32768: Linux uses higher ones for outgoing connections, of which a load generator opens many."""
    while True:
        port = random.randint(20_000, 29_999)  # noqa: S311
        with contextlib.suppress(OSError), socket.socket() as candidate:
            candidate.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], description: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise MeasurementError(f"{description}: not within {seconds:.0f} s")
        time.sleep(0.1)


def get(url: str) -> str:
    with opener.open(url, timeout=60) as response:
        return str(response.read().decode())


def post_texts(url: str, texts: list[str]) -> tuple[Any, int]:
    """The response of POST /predict, and the number of cache hits."""
    body = json.dumps({"text": texts}).encode()
    request = Request(url + "/predict", body, {"Content-Type": "application/json"})  # noqa: S310
    with opener.open(request, timeout=60) as response:
        return json.load(response), int(response.headers.get("x-cache-hits", 0))


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(opener.open(url, timeout=5).status == 200)
    return False


def pinned_to(core: int | None, command: list[str]) -> list[str]:
    """The command, held to one CPU core; the command itself for None."""
    if core is None:
        return command
    if not shutil.which("taskset"):
        raise MeasurementError("taskset is not installed (Linux, package util-linux); macOS has nothing like it")
    return ["taskset", "--cpu-list", str(core), *command]


@contextlib.contextmanager
def service(
    app: str = "finalproject.main:app", core: int | None = None, http: str = HTTP_PARSER, **environment: str
) -> Iterator[Server]:
    """Runs the app in uvicorn. The environment has no other settings: those of the shell do not change a result."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--port", str(port), "--http", http, "--no-access-log", "--log-level", "warning"]
    command = pinned_to(core, [sys.executable, "-m", "uvicorn", app, *options])
    variables = {"PATH": os.environ["PATH"], "ORT_DISABLE_TELEMETRY": "1", **environment}
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=PROJECT, env=variables)  # noqa: S603
    try:
        while not is_ready(url + "/health"):
            if process.poll() is not None or time.monotonic() > start + 60:
                raise MeasurementError(f"{app} did not start")
            time.sleep(0.01)
        yield Server(url, process.pid, time.monotonic() - start)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def resident_mib(pid: int) -> float:
    """Memory in MiB (the resident set size)."""
    output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True).stdout  # noqa: S603, S607
    return int(output) / 1024
