"""Runs code that needs the group `train`, such as torch. $TRAIN_PYTHON is a Python with it; default: this one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
PYTHON = os.environ.get("TRAIN_PYTHON") or (sys.executable if importlib.util.find_spec("torch") else None)
# Not the variables of CI systems: they turn off ONNX Runtime's telemetry, so that tests would not notice it.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}

needs_torch = pytest.mark.skipif(not PYTHON, reason="no torch: set TRAIN_PYTHON to a Python with the group train")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), *arguments]
    environment = ENVIRONMENT | environment
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)


def run_code(code: str, *arguments: str) -> Any:  # noqa: ANN401 - whatever the code prints as JSON
    result = run("-c", code, *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])
