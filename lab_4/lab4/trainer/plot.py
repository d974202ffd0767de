"""The picture in the lab's README: where the model is right, and where on the map it is not."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from .data import Array

mpl.use("agg")
from matplotlib import pyplot as plt


def draw(features: Array, target: Array, predicted: Array, path: Path) -> None:
    """Predicted against true values, and the tenth of the held-out block groups with the largest errors on the map."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    dense = left.hexbin(target, predicted, gridsize=60, bins="log", cmap="viridis", mincnt=1)
    figure.colorbar(dense, ax=left, label="block groups")
    left.axline((0, 0), slope=1, color="black", linewidth=0.8)
    left.set(title="Held-out fifth", xlabel="true, 100,000 dollars", ylabel="predicted, 100,000 dollars")

    error = predicted - target
    worst = np.argsort(np.abs(error))[-len(error) // 10 :]
    longitude, latitude = features[:, 7], features[:, 6]
    right.scatter(longitude, latitude, s=2, color="0.85")
    dots = right.scatter(
        longitude[worst], latitude[worst], s=10, c=error[worst], cmap="coolwarm", vmin=-2, vmax=2, linewidth=0
    )
    figure.colorbar(dots, ax=right, label="predicted less true, 100,000 dollars")
    right.set(
        title="The tenth with the largest errors",
        xlabel="longitude",
        ylabel="latitude",
        aspect=1 / np.cos(np.radians(37)),
    )

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
