"""The libraries start no threads, send no telemetry and write nothing. The service has the threads that it reports."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT
from tests.training import ENVIRONMENT


def run_code(code: str, **environment: str) -> Any:  # noqa: ANN401 - whatever the code prints as JSON
    command, environment = [sys.executable, "-c", code], ENVIRONMENT | environment
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_root_reports_the_number_of_inference_threads() -> None:
    code = """
import json, threading
from fastapi.testclient import TestClient
from finalproject.main import app
reported = TestClient(app).get("/").json()["inference_threads"]
print(json.dumps([reported, sum(thread.name.startswith("inference-") for thread in threading.enumerate())]))
"""
    assert run_code(code, INFERENCE_THREADS="3") == [3, 3]


def test_model_starts_no_thread_and_sends_no_telemetry(tmp_path: Path) -> None:
    """Telemetry would write an id of the device into the home folder, and look up a name in a thread of its own."""
    code = """
import json, os
import numpy  # its threads do not count
from pathlib import Path
def threads():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
before = threads()
from finalproject.model import SentimentModel
model = SentimentModel(Path("model"))
for _ in range(3):
    model.predict(model.encode(["a joy"] * 64))
print(json.dumps([before, threads()]))
"""
    before, after = run_code(code, HOME=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert after == before
