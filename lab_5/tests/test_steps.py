"""The numbered k6 scripts. The last one is load.js."""

import json
import subprocess
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import pytest

from bench.measure import K6_RUN
from services import HERE

STEPS = [*sorted((HERE / "steps").glob("*.js")), HERE / "load.js"]


def changed_lines(before: Path, after: Path) -> int:
    texts = before.read_text().splitlines(), after.read_text().splitlines()
    changes = [change for change in SequenceMatcher(None, *texts, autojunk=False).get_opcodes() if change[0] != "equal"]
    return sum(max(old_end - old, new_end - new) for _, old, old_end, new, new_end in changes)


def test_steps_are_small() -> None:
    assert len(STEPS) == 9
    assert len(STEPS[0].read_text().splitlines()) <= 25
    assert len(STEPS[-1].read_text().splitlines()) <= 80
    assert [3 <= changed_lines(*pair) <= 12 for pair in pairwise(STEPS)] == [True] * 8


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.stem)
def test_step_gets_predictions(step: Path, url: str, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    options = ["--quiet", "--no-thresholds", "--summary-export", str(summary), "--vus", "2", "--iterations", "20"]
    command = [*K6_RUN, *options, "--env", f"URL={url}", str(step)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["http_req_failed"]["value"] == 0
    assert metrics["checks"]["fails"] == 0 if step != STEPS[0] else "predictions" in run.stderr
    assert step.name in (HERE / "README.md").read_text()
