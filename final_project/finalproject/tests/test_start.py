"""An invalid setting or model stops the service at start-up with one line that names it."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from finalproject.errors import StartupError
from finalproject.model import FILES, SentimentModel
from finalproject.settings import Settings, get_settings
from tests.conftest import PROJECT


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("MAX_BODY_BYTES", "16 MiB", "valid integer"),
        ("INFERENCE_THREADS", "0", "greater than or equal to 1"),
        ("INFERENCE_THREADS", "257", "less than or equal to 256"),
        ("BATCH_TOKENS", "0", "greater than or equal to 1"),
        ("MAX_QUEUE_SECONDS", "0", "greater than 0"),
        ("DEADLINE_SECONDS", "soon", "valid number"),
    ],
)
def test_invalid_setting_is_named_with_its_allowed_values(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=f"^{name}: .*{allowed}"):
        get_settings()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LOG_LEVEL": "loud", "MAX_BODY_BYTES": "many"}, r"MAX_BODY_BYTES: [^\n]+; LOG_LEVEL: [^\n]+"),
        ({"MODEL_DIR": "no-model"}, r"MODEL_DIR: [^\n]+no-model[^\n]+"),
    ],
    ids=["settings", "model"],
)
def test_server_prints_one_line_and_exits_with_1(environment: dict[str, str], message: str) -> None:
    command = [sys.executable, "-m", "uvicorn", "finalproject.main:app", "--port", "0"]
    result = subprocess.run(
        command, cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert re.fullmatch(rf"Error: {message}\n", result.stdout + result.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with links to the files of the model."""
    for name in (*FILES, "manifest.json"):
        (tmp_path / name).symlink_to(PROJECT / "model" / name)
    return tmp_path


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_missing_truncated_or_changed_file_is_an_error_that_names_it(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    for other in (content[:-1], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]):
        replace(folder / name, other)
        with pytest.raises(StartupError, match=rf"\AMODEL_DIR: .*SHA-256 of {re.escape(name)} "):
            SentimentModel(folder)
    (folder / name).unlink()
    with pytest.raises(StartupError, match=rf"MODEL_DIR: .*No such file.*{re.escape(name)}"):
        SentimentModel(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.onnx", b"not ONNX"), ("tokenizer.json", b"{}"), ("config.json", b"{}"), ("config.json", b"\xff")]
    + [("config.json", b'{"id2label": {"0": "ONLY"}}'), ("config.json", b'{"id2label": {"1": "A", "2": "B"}}')],
)
def test_file_that_cannot_be_loaded_is_an_error_of_one_line(folder: Path, name: str, content: bytes) -> None:
    replace(folder / name, content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    replace(folder / "manifest.json", json.dumps(manifest).encode())
    with pytest.raises(StartupError, match=r"\AMODEL_DIR: [^\n]+\Z"):
        SentimentModel(folder)


def test_error_without_a_message_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("onnxruntime.InferenceSession", fail)
    with pytest.raises(StartupError, match=r"MODEL_DIR: .*: MemoryError: "):
        SentimentModel(PROJECT / "model")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"files": {"model.onnx": 1}}', '{"sha256": 1}', "\x00"])
def test_missing_or_invalid_manifest_is_an_error(folder: Path, content: str | None) -> None:
    (folder / "manifest.json").unlink()
    if content is not None:
        (folder / "manifest.json").write_text(content)
    with pytest.raises(StartupError, match=r"\AMODEL_DIR: [^\n]+\Z"):
        SentimentModel(folder)


def test_readme_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", (PROJECT.parent / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == [name.upper() for name in Settings.model_fields]
    for (_, shown), field in zip(rows, Settings.model_fields.values(), strict=True):
        if not field.default_factory:
            default = field.default.name if isinstance(field.default, Path) else field.default
            assert shown == ("not set" if default is None else f"`{default}`")
