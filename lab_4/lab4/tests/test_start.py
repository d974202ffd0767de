"""An invalid setting or model file stops the service at start-up with one line that names it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.errors import StartupError
from src.model import HousingModel
from src.settings import Settings, get_settings
from tests.conftest import PROJECT


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("MAX_BODY_BYTES", "8 MiB", "valid integer"),
    ],
)
def test_invalid_setting_is_named_with_its_allowed_values(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=f"^{name}: .*{allowed}"):
        get_settings()


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert get_settings().model_dump() == {name: field.default for name, field in Settings.model_fields.items()}


def test_server_with_invalid_settings_prints_one_line_and_exits_with_1() -> None:
    environment = os.environ | {"LOG_LEVEL": "loud", "MAX_BODY_BYTES": "many"}
    command = [sys.executable, "-m", "uvicorn", "src.main:app", "--port", "0"]
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert re.fullmatch(r"Error: MAX_BODY_BYTES: [^\n]+; LOG_LEVEL: [^\n]+\n", result.stdout + result.stderr)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of the model file next to a copy of its manifest."""
    for name in ("model_pipeline.pkl", "manifest.json"):
        shutil.copy(PROJECT / name, tmp_path)
    return tmp_path / "model_pipeline.pkl"


def change_manifest(path: Path, **changes: object) -> None:
    manifest = path.with_name("manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def test_missing_or_truncated_model_file_is_an_error(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StartupError, match=r"MODEL_PATH: .*SHA-256"):
        HousingModel(path)
    path.unlink()
    with pytest.raises(StartupError, match=r"MODEL_PATH: .*model_pipeline\.pkl.*No such file"):
        HousingModel(path)


def test_replaced_model_file_is_not_unpickled(path: Path, tmp_path: Path) -> None:
    path.write_bytes(f"cposix\nsystem\n(S'touch {tmp_path / 'executed'}'\ntR.".encode())
    with pytest.raises(StartupError, match="SHA-256"):
        HousingModel(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", b"cno_such_module\nName\n."])
def test_model_file_that_cannot_be_unpickled_is_an_error_of_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    change_manifest(path, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(StartupError, match=r"\AMODEL_PATH: [^\n]+\Z"):
        HousingModel(path)


def test_model_of_another_scikit_learn_is_an_error(path: Path) -> None:
    change_manifest(path, versions={"scikit-learn": "1.0.2"})
    with pytest.raises(StartupError, match=r"needs scikit-learn 1\.0\.2"):
        HousingModel(path)


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"sha256": 1, "versions": 2}', "\x00"])
def test_missing_or_invalid_manifest_is_an_error(path: Path, content: str | None) -> None:
    path.with_name("manifest.json").unlink()
    if content is not None:
        path.with_name("manifest.json").write_text(content)
    with pytest.raises(StartupError, match=r"MODEL_PATH: .*manifest\.json"):
        HousingModel(path)


def test_readme_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", (PROJECT.parent / "README.md").read_text(), re.MULTILINE)
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    shown = {name: value.name if isinstance(value, Path) else value for name, value in defaults.items()}
    assert dict(rows) == {name: "not set" if value is None else f"`{value}`" for name, value in shown.items()}
