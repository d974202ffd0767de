"""Accuracy and latency of candidate models: `.venv/bin/python -m bench.models [PATH of cal_housing.data]` (10 minutes).

Each model is trained on 80 % of the data and scored on the other 20 %. Its latency is measured as the service calls it,
with 1 block group per call and with 1,000.
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


def cluster_distances(centers: int, trees: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Gradient boosting on the distances to the centers of k-means clusters of the map."""
    to_distances = make_column_transformer((KMeans(centers, random_state=0), [6, 7]), remainder="passthrough")
    parameters = {"learning_rate": 0.05, "max_depth": 7, "max_features": 0.2, "min_samples_leaf": 8, "subsample": 0.7}
    return make_pipeline(to_distances, GradientBoostingRegressor(n_estimators=trees, random_state=0, **parameters))


def models() -> dict[str, Any]:
    baselines = {
        "SVR, scaled": make_pipeline(StandardScaler(), SVR()),
        "HistGradientBoosting, default settings": HistGradientBoostingRegressor(random_state=0),
        "HistGradientBoosting, 600 iterations": HistGradientBoostingRegressor(max_iter=600, random_state=0),
        "distances to 40 cluster centers, 600 trees": cluster_distances(40, 600),
        "distances to 100 cluster centers, 1,000 trees": cluster_distances(100, 1000),
    }
    candidates = {
        "{axes} axes, {n_estimators} trees of {max_leaf_nodes} leaves".format(**candidate): pipeline(**candidate)
        for candidate in CANDIDATES
    }
    return baselines | candidates


def latency_seconds(model: Any, batches: list[Array]) -> float:  # noqa: ANN401
    """The median of one call. The first 10 % of the calls are the warm-up."""
    latencies = []
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for batch in batches:
            start = time.perf_counter()
            model.predict(batch)
            latencies.append(time.perf_counter() - start)
    return median(latencies[len(latencies) // 10 :])


def main() -> None:
    features, target = features_and_target(read(*sys.argv[1:2]))
    train_x, test_x, train_y, test_y = train_test_split(features, target, test_size=0.2, random_state=0)
    print(f"{machine()}; data: {sys.argv[1:] or SOURCE}\n")
    print("| model | R2, test set | 1 row, ms | 1,000 rows, ms | pickle, MB | training, s |\n|---|---|---|---|---|---|")
    for name, model in models().items():
        start = time.monotonic()
        model.fit(train_x, train_y)
        training = time.monotonic() - start
        file = io.BytesIO()
        joblib.dump(model, file, compress=3)
        one = latency_seconds(model, [test_x[row : row + 1] for row in range(2000)])
        thousand = latency_seconds(model, [test_x[row : row + 1000] for row in range(0, 3000, 100)])
        score = r2_score(test_y, model.predict(test_x))
        size = len(file.getvalue()) / 1e6
        print(
            f"| {name} | {score:.4f} | {one * 1e3:.2f} | {thousand * 1e3:.1f} | {size:.1f} | {training:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
