"""An invalid setting or model stops the service at start-up with one line that names it. The libraries start no
threads, send no telemetry and write nothing."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finalproject.errors import StartupError
from finalproject.model import FILES, SentimentModel
from tests.conftest import PROJECT, run_code


def test_server_prints_one_line_and_exits_with_1() -> None:
    command = [sys.executable, "-m", "uvicorn", "finalproject.main:app", "--port", "0"]
    environment = os.environ | {"LOG_LEVEL": "loud", "MAX_BODY_BYTES": "many"}
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert re.fullmatch(r"Error: MAX_BODY_BYTES: [^\n]+; LOG_LEVEL: [^\n]+\n", result.stdout + result.stderr)


def test_service_has_the_threads_that_it_reports_and_sends_no_telemetry(tmp_path: Path) -> None:
    """Telemetry would write an id of the device into the home folder, and look up a name in a thread of its own."""
    code = """
import json, os, threading
import numpy  # its threads do not count
def threads():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
before = threads()
from fastapi.testclient import TestClient
from finalproject.main import app, model
model.predict(model.encode(["a joy"] * 64))
started = threads() - before
reported = TestClient(app).get("/").json()["inference_threads"]
print(json.dumps([reported, sum("inference-" in thread.name for thread in threading.enumerate()), started or 3]))
"""
    threads = run_code(code, python=sys.executable, HOME=str(tmp_path), INFERENCE_THREADS="3")
    assert (threads, list(tmp_path.iterdir())) == ([3, 3, 3], [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(PROJECT / "model", tmp_path / "model")


@pytest.mark.parametrize("name", FILES)
def test_missing_truncated_or_changed_file_is_an_error_that_names_it(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for other in (content[:-1], bytes([content[0] ^ 1]) + content[1:]):
        (folder / name).write_bytes(other)
        with pytest.raises(StartupError, match=rf"\AMODEL_DIR: .*SHA-256 of {re.escape(name)} "):
            SentimentModel(folder)
    (folder / name).unlink()
    with pytest.raises(StartupError, match=rf"MODEL_DIR: .*No such file.*{re.escape(name)}"):
        SentimentModel(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.onnx", b"not ONNX"), ("tokenizer.json", b"{}"), ("config.json", b'{"id2label": {"0": "ONLY"}}')]
    + [("manifest.json", content) for content in (b"", b"[]", b'{"files": {"model.onnx": 1}}')],
)
def test_file_that_cannot_be_loaded_is_an_error_of_one_line(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    if name in FILES:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StartupError, match=r"\AMODEL_DIR: [^\n]+\Z"):
        SentimentModel(folder)


def test_error_without_a_message_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("onnxruntime.InferenceSession", fail)
    with pytest.raises(StartupError, match=r"MODEL_DIR: .*: MemoryError: "):
        SentimentModel(PROJECT / "model")
