"""Plots the learning curve: `python -m trainer.curve build/curve.json ../images/learning-curve.png`."""

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt


def draw(curve: list[dict[str, float]], path: Path) -> None:
    """Plots the training loss, and the accuracy on the dev set, over the epochs."""
    figure, (top, bottom) = plt.subplots(2, sharex=True, layout="constrained", figsize=(7, 5))
    epochs, loss, current, average = (
        [point[name] for point in curve] for name in ("epoch", "loss", "dev", "dev_average")
    )
    top.plot(epochs, loss, marker=".")
    top.set_ylabel("training loss")
    bottom.plot(epochs, current, marker=".", label="current weights")
    bottom.plot(epochs, average, marker=".", label="exponential moving average of the weights")
    best = average.index(max(average))
    bottom.plot(epochs[best], average[best], "o", markersize=10, fillstyle="none", color="black", label="selected")
    text = f"{average[best]:.4f}"
    bottom.annotate(text, (epochs[best], average[best]), (0, 9), textcoords="offset points", ha="center")
    bottom.set(xlabel="epoch", ylabel="accuracy on the dev set", ylim=(0.84, 0.92))
    bottom.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curve", type=Path, help="curve.json of trainer.train")
    parser.add_argument("out", type=Path, help="path of the plot")
    arguments = parser.parse_args()
    draw(json.loads(arguments.curve.read_text()), arguments.out)


if __name__ == "__main__":
    main()
