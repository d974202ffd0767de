"""A service that cannot be right does not start: one line that says why, and an exit code that is not 0."""

import json
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from finalproject.settings import Settings
from tests.conftest import PROJECT, start


def last_words(**environment: str) -> str:
    _, process = start(subprocess.PIPE, **environment)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    lines: list[str] = output.splitlines()
    assert len(lines) == 1, output
    return lines[0]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("model.onnx", "tokenizer.json", "config.json", "manifest.json"):
        shutil.copy(PROJECT / "model" / name, tmp_path)
    return tmp_path / "model.onnx"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("MAX_BODY_BYTES", "16 MiB", "valid integer"),
        ("INFERENCE_THREADS", "0", "greater than or equal to 1"),
        ("BATCH_TOKENS", "0", "greater than or equal to 1"),
        ("QUEUE_TEXTS", "999", "greater than or equal to 1000"),
        ("DEADLINE_SECONDS", "0", "greater than 0"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(name: str, value: str, told: str) -> None:
    line = last_words(**{name: value})
    assert line.startswith(name + ": ")
    assert told in line


def test_two_wrong_settings_are_named_in_one_line() -> None:
    line = last_words(LOG_LEVEL="loud", MAX_BODY_BYTES="many")
    assert "LOG_LEVEL: " in line
    assert "MAX_BODY_BYTES: " in line


def test_a_model_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    line = last_words(MODEL_DIR=str(tmp_path / "none"))
    assert line.startswith("MODEL_DIR: ")
    assert "none" in line


def test_a_model_file_that_is_cut_short_stops_the_start(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-1])
    assert "cut short" in last_words(MODEL_DIR=str(copy.parent))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_model_file_that_was_swapped_is_not_loaded(copy: Path, name: str) -> None:
    content = bytearray(copy.with_name(name).read_bytes())
    content[len(content) // 2] ^= 1
    copy.with_name(name).write_bytes(content)
    assert "manifest.json" in last_words(MODEL_DIR=str(copy.parent))


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.onnx", b"no network"), ("tokenizer.json", b"{}"), ("config.json", b"{}"), ("config.json", b"\xff")],
)
def test_a_model_that_cannot_be_used_stops_the_start(copy: Path, name: str, content: bytes) -> None:
    copy.with_name(name).write_bytes(content)
    files = (copy.with_name(each).read_bytes() for each in ("model.onnx", "tokenizer.json", "config.json"))
    copy.with_name("manifest.json").write_text(json.dumps({"sha256": sha256(b"".join(files)).hexdigest()}))
    assert last_words(MODEL_DIR=str(copy.parent)).startswith("MODEL_DIR: ")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"sha256": 1, "versions": 2}', "\x00"])
def test_a_manifest_that_says_nothing_stops_the_start(copy: Path, content: str | None) -> None:
    copy.with_name("manifest.json").unlink()
    if content is not None:
        copy.with_name("manifest.json").write_text(content)
    assert last_words(MODEL_DIR=str(copy.parent)).startswith("MODEL_DIR: ")


def test_the_readme_lists_every_setting_and_its_default() -> None:
    readme = (PROJECT.parent / "README.md").read_text()
    rows = [line for line in readme.splitlines() if re.match(r"\| `[A-Z_]+` \|", line)]
    assert [row.split("`")[1].lower() for row in rows] == list(Settings.model_fields)
    assert [row for row in rows if f"`{Settings.model_fields['max_body_bytes'].default}`" in row] == rows[1:2]
