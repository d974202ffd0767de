"""What each model costs and what it is worth: `.venv/bin/python -m bench.models [PATH of cal_housing.data]`, minutes.

Each is fitted on four fifths, scored on the held-out fifth, and asked as the service asks it: one block group a call
(another one each time), and 1,000 a call.
"""

import io
import sys
import time
from statistics import median
from typing import Any

import joblib
import sklearn
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from trainer.data import SOURCE, Array, features_and_target, read
from trainer.train import CANDIDATES, pipeline

from .machine import machine


def distances(centres: int, trees: int) -> Any:  # noqa: ANN401 - a scikit-learn pipeline, which has no types
    to_centres = make_column_transformer((KMeans(centres, random_state=0), [6, 7]), remainder="passthrough")
    parameters = {"learning_rate": 0.05, "max_depth": 7, "max_features": 0.2, "min_samples_leaf": 8, "subsample": 0.7}
    return make_pipeline(to_centres, GradientBoostingRegressor(n_estimators=trees, random_state=0, **parameters))


def models() -> dict[str, Any]:
    known = {
        "SVR, scaled (the course's)": make_pipeline(StandardScaler(), SVR()),
        "HistGradientBoosting, as it comes": HistGradientBoostingRegressor(random_state=0),
        "HistGradientBoosting, 600 rounds": HistGradientBoostingRegressor(max_iter=600, random_state=0),
        "distances to 40 centres, 600 trees": distances(40, 600),
        "distances to 100 centres, 1,000 trees": distances(100, 1000),
    }
    return known | {
        f"{each['axes']} axes, {each['n_estimators']} trees of {each['max_leaf_nodes']} leaves": pipeline(**each)
        for each in CANDIDATES
    }


def seconds(model: Any, batches: list[Array]) -> float:  # noqa: ANN401
    """The median of one call, warm."""
    took = []
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for batch in batches:
            began = time.perf_counter()
            model.predict(batch)
            took.append(time.perf_counter() - began)
    return median(took[len(took) // 10 :])


def main() -> None:
    features, target = features_and_target(read(*sys.argv[1:2]))
    train_x, test_x, train_y, test_y = train_test_split(features, target, test_size=0.2, random_state=0)
    print(f"{machine()}; data: {sys.argv[1:] or SOURCE}\n")
    print("| model | R2, held out | 1 row, ms | 1,000 rows, ms | pickle, MB | fit, s |\n|---|---|---|---|---|---|")
    for name, model in models().items():
        began = time.monotonic()
        model.fit(train_x, train_y)
        fit = time.monotonic() - began
        file = io.BytesIO()
        joblib.dump(model, file, compress=3)
        one = seconds(model, [test_x[row : row + 1] for row in range(2000)])
        thousand = seconds(model, [test_x[row : row + 1000] for row in range(0, 3000, 100)])
        score = r2_score(test_y, model.predict(test_x))
        size = len(file.getvalue()) / 1e6
        print(f"| {name} | {score:.4f} | {one * 1e3:.2f} | {thousand * 1e3:.1f} | {size:.1f} | {fit:.0f} |", flush=True)


if __name__ == "__main__":
    main()
