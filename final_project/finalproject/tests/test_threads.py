"""The service has as many threads in the model as it says, and its libraries start none by themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT


def printed(code: str, **environment: str) -> Any:  # noqa: ANN401 - whatever the code prints as JSON
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_root_tells_the_inference_threads_that_there_are() -> None:
    code = """
import json, threading
from fastapi.testclient import TestClient
from finalproject.main import app
told = TestClient(app).get("/").json()["inference_threads"]
print(json.dumps([told, sum(thread.name.startswith("inference-") for thread in threading.enumerate())]))
"""
    assert printed(code, INFERENCE_THREADS="3") == [3, 3]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux counts the threads of libraries")
def test_the_model_runs_in_its_callers_thread_alone() -> None:
    code = """
import json, os
from finalproject.model import SentimentModel
def threads():
    return len(os.listdir("/proc/self/task"))
counts = [threads()]
model = SentimentModel(__import__("pathlib").Path("model"))
for _ in range(3):
    model.predict(model.encode(["a joy"] * 64))
print(json.dumps([*counts, threads()]))
"""
    before, after = printed(code)
    assert after == before
