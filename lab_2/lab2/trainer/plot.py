"""The plot in the lab's README: predictions on the test set, and the largest errors on the map."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from .data import Array

mpl.use("agg")
from matplotlib import pyplot as plt


def draw(features: Array, target: Array, predicted: Array, path: Path) -> None:
    """Plots predicted against true values, and a map of the 10 % of block groups with the largest errors."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    cells = left.hexbin(target, predicted, gridsize=60, bins="log", cmap="viridis", mincnt=1)
    figure.colorbar(cells, ax=left, label="block groups")
    left.axline((0, 0), slope=1, color="black", linewidth=0.8)
    left.set(title="Test set", xlabel="true value, 100,000 dollars", ylabel="prediction, 100,000 dollars")

    error = predicted - target
    worst = np.argsort(np.abs(error))[-len(error) // 10 :]
    longitude, latitude = features[:, 7], features[:, 6]
    right.scatter(longitude, latitude, s=2, color="0.85")
    points = right.scatter(
        longitude[worst], latitude[worst], s=10, c=error[worst], cmap="coolwarm", vmin=-2, vmax=2, linewidth=0
    )
    figure.colorbar(points, ax=right, label="prediction - true value, 100,000 dollars")
    right.set(
        title="10 % with the largest errors",
        xlabel="longitude",
        ylabel="latitude",
        aspect=1 / np.cos(np.radians(37)),
    )

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
