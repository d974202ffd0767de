"""Distils the teacher into MiniLM: `python -m trainer.train` writes a folder that trainer.export reads.

Without a path it downloads SST-2. Training takes 25 to 60 minutes on 2 cores. After an interruption, the same command
continues from the last checkpoint.
"""

import argparse
import json
import random
from pathlib import Path

import torch

from . import data, pretrained
from .batches import encode
from .command import run
from .fit import CHECKPOINT, SEED, fit
from .targets import soft_targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default=data.SOURCE, help="SST-2's archive or train.tsv; default: GLUE's archive")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder to write; default: build")
    arguments = parser.parse_args()
    examples = data.read("train", arguments.train)
    training, selected = data.split(examples)
    selection = [examples[index] for index in selected]
    labelled = encode(pretrained.load_tokenizer(), [text for text, _ in selection], [label for _, label in selection])
    torch.manual_seed(SEED)
    model = pretrained.load_model()
    targets = soft_targets(examples, training)
    fit(model, targets, labelled, arguments.out, epochs=1.5, batch_size=64, rate=1.5e-4, averaged=True)
    pretrained.save_tokenizer(arguments.out)
    sentences = [example.text for example in examples if len(example.text) > 60]  # most examples are shorter phrases
    random.Random(0).shuffle(sentences)  # noqa: S311 - not for secrets
    (arguments.out / "data.json").write_text(json.dumps({"source": data.SOURCE, "sha256": data.DIGESTS}))  # provenance
    (arguments.out / "calibration.txt").write_text("\n".join(sentences[:128]) + "\n")
    (arguments.out / CHECKPOINT).unlink()


if __name__ == "__main__":
    run(main)
