"""The learning curve as a picture: python -m trainer.curve build/curve.json curve.png"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt


def draw(curve: list[dict[str, float]], to: Path) -> None:
    """The loss on train, and the accuracy on dev, by epochs."""
    figure, (above, below) = plt.subplots(2, sharex=True, layout="constrained", figsize=(7, 5))
    epochs, average = ([point[name] for point in curve] for name in ("epoch", "dev_average"))
    above.plot(epochs, [point["loss"] for point in curve], marker=".")
    above.set_ylabel("loss on train")
    below.plot(epochs, [point["dev"] for point in curve], marker=".", label="weights")
    below.plot(epochs, average, marker=".", label="average of the weights")
    kept = average.index(max(average))
    below.plot(epochs[kept], average[kept], "o", markersize=10, fillstyle="none", color="black", label="kept")
    below.annotate(
        f"{average[kept]:.4f}", (epochs[kept], average[kept]), (0, 9), textcoords="offset points", ha="center"
    )
    below.set(xlabel="epochs", ylabel="accuracy on dev", ylim=(0.84, 0.92))
    below.legend(loc="lower right")
    figure.savefig(to, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curve", type=Path, help="curve.json of trainer.train")
    parser.add_argument("to", type=Path, help="the picture to write")
    words = parser.parse_args()
    draw(json.loads(words.curve.read_text()), words.to)


if __name__ == "__main__":
    main()
