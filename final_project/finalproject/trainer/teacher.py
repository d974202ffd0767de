"""Fine-tunes the teacher, and writes its logits to teacher.npz: `python -m trainer.teacher`, 1 to 3 hours on 2 cores.

The teacher is all-mpnet-base-v2 (Song et al., MPNet, 2020), with 12 layers and 109 million parameters: 438 MB.
After an interruption, the same command continues from the last checkpoint.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import cached_file

from . import data
from .batches import encode, pad
from .command import run
from .fit import BFLOAT16, CHECKPOINT, SEED, differences, fit
from .targets import LOGITS, augmented_sentences, write_logits

NAME = "sentence-transformers/all-mpnet-base-v2"
DIGEST = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"  # SHA-256 of its weights
MAX_TOKENS = 128
SMOOTHING = 0.025  # label smoothing: the target is 0.975 instead of 1
BATCH_SIZE = 64


@torch.no_grad()
def logits(model: PreTrainedModel, rows: list[list[int]]) -> NDArray[np.float32]:
    """The logit of POSITIVE minus that of NEGATIVE, for each row of token ids. Batches have texts of similar length."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    result = np.empty(len(rows), np.float32)
    for start in tqdm(range(0, len(rows), BATCH_SIZE), unit="batch", mininterval=5):
        batch = order[start : start + BATCH_SIZE]
        ids, mask = pad([rows[index] for index in batch], model.config.pad_token_id)
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            result[batch] = differences(model(ids, mask).logits.float()).numpy()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=NAME, help=f"folder of {NAME}; default: from the Hugging Face Hub")
    parser.add_argument("--train", default=data.SOURCE, help="SST-2's archive or train.tsv; default: GLUE's archive")
    parser.add_argument("--out", type=Path, default=Path("build/teacher"), help="default: build/teacher")
    arguments = parser.parse_args()
    weights = Path(cached_file(arguments.model, "model.safetensors"))
    if sha256(weights.read_bytes()).hexdigest() != DIGEST:
        raise ValueError(f"{weights} is not {NAME}: the SHA-256 differs")
    examples = data.read("train", arguments.train)
    training, selected = data.split(examples)
    texts = augmented_sentences(examples, training)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    smoothed = [abs(example.label - SMOOTHING) for example in examples]
    encoded = encode(tokenizer, [example.text for example in examples], smoothed)
    torch.manual_seed(SEED)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=2, dtype=torch.float32)
    subset = [encoded[index] for index in training]
    selection = [encoded[index] for index in selected]
    fit(model, subset, selection, arguments.out, epochs=1, batch_size=32, rate=3e-5, averaged=False)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.out, dtype=torch.float32)
    rows = [tokens for tokens, _ in encoded] + [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    result = logits(model, rows)
    write_logits(LOGITS, result[: len(examples)], result[len(examples) :], texts)
    (arguments.out / CHECKPOINT).unlink()


if __name__ == "__main__":
    run(main)
