"""Fine-tunes MiniLM on SST-2: `python -m trainer.train` writes a folder that trainer.export reads.

Without a path it downloads the data. Training takes 30 to 60 minutes on 2 cores.
"""

import argparse
import json
import math
import random
import time
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import DistilBertForSequenceClassification, get_linear_schedule_with_warmup

from . import data, pretrained
from .batches import BATCH_SIZE, Encoded, batches, encode

AVERAGE_STEPS, AVERAGE_DECAY = 10, 0.99  # of the exponential moving average of the weights
EVALUATIONS_PER_EPOCH = 4
LAYER_DECAY = 0.9
SEED = 1
BFLOAT16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # without these instructions, float32 is faster


def parameter_groups(model: DistilBertForSequenceClassification, rate: float) -> list[dict[str, Any]]:
    """Layer-wise learning-rate decay: the rate of a layer is 0.9 times the rate of the next layer.

    Lower layers are more general, so they need less change. Weight decay applies to matrices only.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = int(name.split(".")[3]) + 1 if ".layer." in name else 0 if "embeddings" in name else 7
        weight_decay = 0.01 if parameter.ndim > 1 else 0.0
        groups.setdefault((rate * LAYER_DECAY ** (7 - depth), weight_decay), []).append(parameter)
    return [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()]


@torch.no_grad()
def accuracy(model: nn.Module, examples: list[Encoded]) -> float:
    training = model.training
    model.eval()
    correct = sum(int((model(ids, mask).logits.argmax(1) == labels).sum()) for ids, mask, labels in batches(examples))
    model.train(training)
    return correct / len(examples)


def fit(
    model: DistilBertForSequenceClassification,
    train: list[Encoded],
    dev: list[Encoded],
    out: Path,
    shuffle: random.Random,
    epochs: float,
    rate: float,
) -> None:
    """Saves the average of the weights with the best accuracy on the dev set, and the learning curve."""
    optimizer = torch.optim.AdamW(parameter_groups(model, rate), fused=True)
    steps = round(epochs * math.ceil(len(train) / BATCH_SIZE))
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.06 * steps), steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY))
    evaluations = math.ceil(EVALUATIONS_PER_EPOCH * epochs)
    evaluation_steps = {round(steps * number / evaluations) for number in range(1, evaluations + 1)}
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    best, start = 0.0, time.monotonic()
    model.train()
    endless = chain.from_iterable(batches(train, shuffle) for _ in count())  # an epoch after the other
    for step, (ids, mask, labels) in enumerate(
        tqdm(islice(endless, steps), total=steps, unit="batch", mininterval=5), 1
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            logits = model(ids, mask).logits.float()
        loss = cross_entropy(logits, labels, label_smoothing=0.05)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % AVERAGE_STEPS == 0:
            average.update_parameters(model)
        if step in evaluation_steps:
            point = {"epoch": step / steps * epochs, "loss": sum(losses) / len(losses), "dev": accuracy(model, dev)}
            point |= {"dev_average": accuracy(average.module, dev), "seconds": time.monotonic() - start}
            curve.append(point)
            losses.clear()
            if point["dev_average"] > best:
                best = point["dev_average"]
                average.module.save_pretrained(out)
            tqdm.write(json.dumps(point))
    (out / "curve.json").write_text(json.dumps(curve, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default=data.SOURCE, help="SST-2's archive or train.tsv; default: GLUE's archive")
    parser.add_argument("--dev", default=data.SOURCE, help="SST-2's archive or dev.tsv; default: GLUE's archive")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder to write; default: build")
    arguments = parser.parse_args()
    examples = data.read("train", arguments.train)
    dev = encode(data.read("dev", arguments.dev))
    torch.manual_seed(SEED)  # of the classification head and of dropout
    model = pretrained.load_model()
    fit(model, encode(examples), dev, arguments.out, random.Random(SEED), epochs=4, rate=6e-5)  # noqa: S311
    pretrained.save_tokenizer(arguments.out)
    sentences = [example.text for example in examples if len(example.text) > 60]  # most examples are shorter phrases
    random.Random(0).shuffle(sentences)  # noqa: S311 - not for secrets
    (arguments.out / "data.json").write_text(json.dumps({"source": data.SOURCE, "sha256": data.DIGESTS}))  # provenance
    (arguments.out / "calibration.txt").write_text("\n".join(sentences[:128]) + "\n")


if __name__ == "__main__":
    main()
