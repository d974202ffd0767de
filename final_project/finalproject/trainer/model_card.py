"""Computes the figures of MODEL.md: `python -m trainer.model_card [DEV]` evaluates the model and prints the tables.

DEV is SST-2's archive or dev.tsv; without it, the data is downloaded. `--write` stores the figures in manifest.json.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finalproject.model import SentimentModel

from . import data
from .command import run

Figures = dict[str, Any]  # as in manifest.json, key "scores"
NEGATIONS = ("not", "n't", "no", "never", "nothing", "none", "nobody", "nowhere", "neither", "nor", "without", "hardly")
LENGTHS = {"1 to 16": 16, "17 to 24": 24, "25 to 32": 32, "33 to 512": 512}  # tokens: name and maximum
PROBES = (  # texts unlike the training data, and pairs that differ in one word
    "The film starts at 8 o'clock.",
    "Oh great, another sequel. Just what we needed.",
    "The battery lasts long.",
    "The battery does not last long.",
    "Das war ein wunderbarer Film.",
    "👍",
    "👎",
    "This film was filmed in Canada.",
    "This film was filmed in Iraq.",
    "I am tall.",
    "I am deaf.",
)


def wilson(correct: int, examples: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of an accuracy. Source: Wilson, Probable Inference, JASA 22, 1927."""
    accuracy, weight = correct / examples, z * z / examples
    margin = z * math.sqrt(accuracy * (1 - accuracy) / examples + weight / (4 * examples))
    return (accuracy + weight / 2 - margin) / (1 + weight), (accuracy + weight / 2 + margin) / (1 + weight)


def positive_probability(model: SentimentModel, tokens: list[int]) -> float:
    (scores,) = map(json.loads, model.predict([tokens]))
    return float(scores[1]["score"])


def counts(correct: NDArray[np.bool_], group: NDArray[np.bool_]) -> Figures:
    return {"examples": int(group.sum()), "correct": int(correct[group].sum())}


def evaluate(model: SentimentModel, examples: list[data.Example]) -> Figures:
    tokens = model.encode([example.text for example in examples])
    lengths = np.array(list(map(len, tokens)))  # (examples,), with the special tokens at the start and the end
    labels = np.array([example.label for example in examples])
    negated = np.array([not set(example.text.split()).isdisjoint(NEGATIONS) for example in examples])
    positive = np.array([positive_probability(model, text) for text in tokens])
    correct = (positive > 0.5) == (labels == 1)
    confidence = np.maximum(positive, 1 - positive)

    groups = {"all": labels >= 0} | {f"label {name}": labels == label for label, name in enumerate(model.labels)}
    minimum = 0
    for name, maximum in LENGTHS.items():
        groups[f"{name} tokens"] = (lengths > minimum) & (lengths <= maximum)
        minimum = maximum
    groups |= {"with a negation word": negated, "without a negation word": ~negated}
    accuracy = {name: counts(correct, group) for name, group in groups.items() if group.any()}
    calibration = {}
    tenths = np.minimum((10 * confidence).astype(int), 9)
    for tenth in np.unique(tenths).tolist():
        group = tenths == tenth
        mean = round(float(confidence[group].mean()), 4)
        calibration[f"{tenth / 10} to {(tenth + 1) / 10}"] = counts(correct, group) | {"mean_probability": mean}
    probes = {text: positive_probability(model, *model.encode([text])) for text in PROBES}
    largest = {"max_tokens": int(lengths.max()), "max_probability": float(confidence.max())}
    return {"accuracy": accuracy, "calibration": calibration, "probes": probes} | largest


def calibration_error(figures: Figures) -> float:
    """The expected calibration error: the mean distance of probability and accuracy. Source: Guo et al., 2017."""
    bins = figures["calibration"].values()
    distances = (abs(row["mean_probability"] * row["examples"] - row["correct"]) for row in bins)
    return float(sum(distances) / sum(row["examples"] for row in bins))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def tables(figures: Figures) -> list[str]:
    """The tables of MODEL.md."""
    accuracy = ["| examples | number | correct | accuracy | 95 % interval |", "|---|---|---|---|---|"]
    for name, row in figures["accuracy"].items():
        examples, correct = row["examples"], row["correct"]
        interval = " to ".join(map(percent, wilson(correct, examples)))
        accuracy.append(f"| {name} | {examples} | {correct} | {percent(correct / examples)} | {interval} |")
    calibration = ["| probability | number | mean probability | accuracy |", "|---|---|---|---|"]
    for name, row in figures["calibration"].items():
        mean, share = percent(row["mean_probability"]), percent(row["correct"] / row["examples"])
        calibration.append(f"| {name} | {row['examples']} | {mean} | {share} |")
    probes = ["| text | probability of POSITIVE |", "|---|---|"]
    probes += [f"| {text} | {score:.4f} |" for text, score in figures["probes"].items()]
    return ["\n".join(lines) for lines in (accuracy, calibration, probes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dev", nargs="?", default=data.SOURCE, help="default: GLUE's archive")
    parser.add_argument("--model", type=Path, default=Path("model"), help="folder of the model; default: model")
    parser.add_argument("--write", action="store_true", help="store the figures in the model's manifest.json")
    arguments = parser.parse_args()
    figures = evaluate(SentimentModel(arguments.model), data.read("dev", arguments.dev))
    print("\n\n".join(tables(figures)), f"\n\nexpected calibration error: {calibration_error(figures):.3f}")
    if arguments.write:
        path = arguments.model / "manifest.json"
        manifest = json.loads(path.read_text()) | {"scores": figures}
        path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run(main)
