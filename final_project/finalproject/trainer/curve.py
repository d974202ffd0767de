"""Plots the learning curve: `python -m trainer.curve build/curve.json ../images/learning-curve.png`."""

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt

from .command import run


def draw(curve: list[dict[str, float]], path: Path) -> None:
    """Plots the training loss, and the accuracy on the sentences that select the weights, over the epochs."""
    figure, (top, bottom) = plt.subplots(2, sharex=True, layout="constrained", figsize=(7, 5))
    epochs, loss, accuracy = ([point[name] for point in curve] for name in ("epoch", "loss", "accuracy"))
    top.plot(epochs, loss, marker=".")
    top.set_ylabel("training loss")
    bottom.plot(epochs, accuracy, marker=".")
    best = max(range(len(curve)), key=lambda index: (accuracy[index], index))  # as trainer.fit: of equal ones, the last
    bottom.plot(epochs[best], accuracy[best], "o", markersize=10, fillstyle="none", color="black", label="selected")
    text = f"{accuracy[best]:.3f}"
    bottom.annotate(text, (epochs[best], accuracy[best]), (0, 9), textcoords="offset points", ha="center")
    bottom.set(xlabel="epoch", ylabel="accuracy on 1,000\nheld-out sentences")
    bottom.margins(y=0.2)
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
    run(main)
