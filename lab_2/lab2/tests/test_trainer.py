"""The trainer on the real data: from $HOUSING_DATA, else from the public source, else skipped."""

import functools
import http.client
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from tests.conftest import PROJECT
from trainer import train
from trainer.data import SOURCE, features_and_target, read

MANIFEST = json.loads((PROJECT / "manifest.json").read_text())


@pytest.fixture(scope="session")
def content() -> bytes:
    try:
        return read(os.environ.get("HOUSING_DATA", SOURCE))
    except (OSError, EOFError, http.client.HTTPException, ValueError) as error:
        if "HOUSING_DATA" in os.environ:
            raise
        pytest.skip(f"no housing data: set HOUSING_DATA to StatLib's cal_housing.data ({error})")


def test_features_are_those_of_fetch_california_housing(content: bytes) -> None:
    features, target = features_and_target(content)
    assert features.shape == (20640, 8)
    means = [3.87067, 28.63949, 5.429, 1.09668, 1425.47674, 3.07066, 35.63186, -119.56970]
    assert features.mean(axis=0) == pytest.approx(means, rel=1e-5)
    assert target.mean() == pytest.approx(2.06856, rel=1e-5)
    assert features[0] == pytest.approx([8.3252, 41, 6.98412698, 1.02380952, 322, 2.55555556, 37.88, -122.23])
    assert target[0] == 4.526


def test_committed_model_has_the_committed_scores_on_the_committed_test_set(content: bytes) -> None:
    features, target = features_and_target(content)
    train_x, test_x, _, test_y = train_test_split(features, target, test_size=0.2, random_state=0)
    predicted = joblib.load(PROJECT / "model_pipeline.pkl").predict(test_x)
    assert r2_score(test_y, predicted) == pytest.approx(MANIFEST["scores"]["r2_held_out"], abs=1e-4)
    assert MANIFEST["scores"]["r2_held_out"] >= 0.875
    assert MANIFEST["data"]["train_rows"] == len(train_x)
    rows = np.loadtxt(PROJECT / "tests" / "held_out.csv", delimiter=",")
    assert rows == pytest.approx(np.column_stack([test_x, test_y])[: len(rows)], rel=1e-9)


def test_manifest_names_the_cheapest_candidate_within_the_minimum_gain_of_the_best() -> None:
    scores = [candidate["r2_three_folds"] for candidate in MANIFEST["search"]]
    selected = train.CANDIDATES.index(MANIFEST["parameters"])
    assert scores[selected] >= max(scores) - 0.001
    assert all(score < max(scores) - 0.001 for score in scores[:selected])


def test_readme_shows_the_scores_of_the_manifest() -> None:
    readme = (PROJECT.parent / "README.md").read_text()
    scores = MANIFEST["scores"]
    splits = f"{min(scores['r2_splits']):.4f} to {max(scores['r2_splits']):.4f}"
    for value in (f"{scores['r2_held_out']:.4f}", f"{scores['r2_splits_mean']:.4f}", splits):
        assert value in readme


def test_training_is_deterministic(content: bytes, tmp_path: Path) -> None:
    """A small candidate, trained twice on an archive that a web server sends."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    (tmp_path / "cal_housing.tgz").write_bytes(archive.getvalue())
    small = train.CANDIDATES[0] | {"n_estimators": 20, "learning_rate": 0.3, "max_leaf_nodes": 16}
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web_server:
        threading.Thread(target=web_server.serve_forever, daemon=True).start()
        with joblib.parallel_config(backend="threading"):  # new processes would import everything again
            for folder in ("first", "second"):
                source = f"http://127.0.0.1:{web_server.server_port}/cal_housing.tgz"
                train.train(source, tmp_path / folder / "lab", [small], splits=1)
        web_server.shutdown()
    first, second = (
        json.loads((tmp_path / name / "lab" / "manifest.json").read_text()) for name in ("first", "second")
    )
    assert first == second
    assert first["scores"]["r2_held_out"] > 0.6
    assert (tmp_path / "first" / "images" / "held_out.png").read_bytes().startswith(b"\x89PNG")


def test_other_data_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "other.data").write_text("1,2,3\n")
    with pytest.raises(ValueError, match="SHA-256"):
        read(str(tmp_path / "other.data"))


def test_model_loads_without_this_project() -> None:
    load = f"import joblib; joblib.load({str(PROJECT / 'model_pipeline.pkl')!r})"
    subprocess.run([sys.executable, "-I", "-c", load], cwd="/", check=True)  # -I: the project is not importable
