"""Runs what needs the group train (torch, transformers) with a Python that has it: TRAIN_PYTHON, or this one."""

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

needs_torch = pytest.mark.skipif(
    not PYTHON, reason="no torch: TRAIN_PYTHON is a Python with the group train, if there is one"
)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PYTHON), *words], cwd=PROJECT, capture_output=True, text=True, timeout=300)


def asked(code: str, *words: str) -> Any:  # noqa: ANN401 - whatever the code prints as JSON
    done = run("-c", code, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
