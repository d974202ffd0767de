"""Trains the model of this lab: `python -m trainer.train [PATH]` writes model_pipeline.pkl and manifest.json.

Without a path it downloads the data. Training takes about 6 minutes on 2 cores and is deterministic.
"""

import argparse
import hashlib
import io
import json
import platform
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from .data import DIGEST, SOURCE, Array, features_and_target, read
from .plot import draw

# Ordered by the cost of a prediction, cheapest first. A slower candidate must improve R2 by more than MIN_R2_GAIN.
CANDIDATES: list[dict[str, Any]] = [
    {"axes": 2, "n_estimators": 500, "max_leaf_nodes": 64, "learning_rate": 0.05, "max_features": 0.5},
    {"axes": 16, "n_estimators": 500, "max_leaf_nodes": 64, "learning_rate": 0.05, "max_features": 0.2},
    {"axes": 64, "n_estimators": 300, "max_leaf_nodes": 64, "learning_rate": 0.08, "max_features": 0.08},
    {"axes": 64, "n_estimators": 500, "max_leaf_nodes": 64, "learning_rate": 0.05, "max_features": 0.08},
    {"axes": 64, "n_estimators": 800, "max_leaf_nodes": 64, "learning_rate": 0.035, "max_features": 0.08},
]
MIN_R2_GAIN = 0.001  # smaller differences are within the noise between folds


def rotation_matrix(axes: int) -> Array:
    """(8, 6 + axes): keeps six features and replaces latitude and longitude by rotated coordinates.

    A decision tree splits only parallel to its axes. Rotated axes let it split the map at other angles: axis k points
    k/axes * 180 degrees from east. At 37 degrees north, a degree of longitude is cos(37 degrees) degrees of latitude.
    """
    matrix = np.zeros((8, 6 + axes))
    matrix[:6, :6] = np.eye(6)
    angles = np.pi * np.arange(axes) / axes
    matrix[6, 6:] = np.sin(angles)
    matrix[7, 6:] = np.cos(angles) * np.cos(np.radians(37))
    return matrix


def pipeline(axes: int, seed: int = 0, **parameters: Any) -> Pipeline:  # noqa: ANN401 - scikit-learn checks them
    """The model. It contains only objects of scikit-learn and NumPy, so it loads without this project.

    Gradient boosting evaluates all its trees in one loop in C. A random forest and HistGradientBoosting call each tree
    from Python: one row takes 3 to 10 times as long (`bench/models.py`).
    """
    common = {"max_depth": None, "min_samples_leaf": 15, "subsample": 0.85, "random_state": seed}
    return Pipeline(
        [
            ("map", FunctionTransformer(np.dot, kw_args={"b": rotation_matrix(axes)})),
            ("trees", GradientBoostingRegressor(**common, **parameters)),
        ]
    )


def cross_validate(features: Array, target: Array, candidates: list[dict[str, Any]]) -> list[float]:
    """The mean R2 of each candidate over 3 folds."""
    scores = []
    for number, candidate in enumerate(candidates, 1):
        start = time.monotonic()
        folds = KFold(3, shuffle=True, random_state=0)
        score = cross_val_score(pipeline(**candidate), features, target, cv=folds, scoring="r2", n_jobs=-1).mean()
        print(
            f"  {number}/{len(candidates)}  R2 {score:.4f}  {candidate}  {time.monotonic() - start:.0f} s", flush=True
        )
        scores.append(round(float(score), 6))
    return scores


def score_on_split(features: Array, target: Array, candidate: dict[str, Any], seed: int) -> float:
    """R2 on the test set of the split with this seed."""
    train_x, test_x, train_y, test_y = train_test_split(features, target, test_size=0.2, random_state=seed)
    return float(r2_score(test_y, pipeline(**candidate).fit(train_x, train_y).predict(test_x)))


def write(path: Path, content: bytes) -> None:
    """Writes the file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def train(source: str, out: Path, candidates: list[dict[str, Any]], splits: int = 5) -> None:
    """Selects a candidate, fits and scores it. Writes the model, its manifest, rows of the test set and a plot."""
    print("reading", source, flush=True)
    features, target = features_and_target(read(source))
    train_x, test_x, train_y, test_y = train_test_split(features, target, test_size=0.2, random_state=0)

    print("cross-validating on the training set (80 %), without the test set", flush=True)
    scores = cross_validate(train_x, train_y, candidates)
    best = next(
        candidate for candidate, score in zip(candidates, scores, strict=True) if score >= max(scores) - MIN_R2_GAIN
    )

    print("fitting", best, flush=True)
    model = pipeline(**best).fit(train_x, train_y)
    predicted = model.predict(test_x)
    draw(test_x, test_y, predicted, out.parent / "images" / "held_out.png")

    print("scoring on other splits, to measure the spread", flush=True)
    split_scores = joblib.Parallel(n_jobs=-1, verbose=10)(
        joblib.delayed(score_on_split)(features, target, best, seed) for seed in range(splits)
    )
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    manifest = {
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "bytes": len(buffer.getvalue()),
        "versions": {
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "joblib": joblib.__version__,
        },
        "data": {"source": SOURCE, "sha256": DIGEST, "train_rows": len(train_x), "held_out_rows": len(test_x)},
        "parameters": best,
        "search": [{"r2_three_folds": score} | candidate for score, candidate in zip(scores, candidates, strict=True)],
        "scores": {
            "r2_held_out": round(float(r2_score(test_y, predicted)), 6),
            "mean_absolute_error_held_out": round(float(mean_absolute_error(test_y, predicted)), 6),
            "r2_splits": [round(score, 6) for score in split_scores],
            "r2_splits_mean": round(float(np.mean(split_scores)), 6),
        },
    }
    rows = io.StringIO()
    np.savetxt(rows, np.column_stack([test_x, test_y])[:400], fmt="%.10g", delimiter=",")
    write(out / "tests" / "held_out.csv", rows.getvalue().encode())
    write(out / "model_pipeline.pkl", buffer.getvalue())
    write(out / "manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")
    print(json.dumps(manifest["scores"], indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default=SOURCE, help="cal_housing.data, as it is or in a .gz or .tgz")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1], help="where to write, the lab's project")
    arguments = parser.parse_args()
    train(arguments.source, arguments.out, CANDIDATES)
