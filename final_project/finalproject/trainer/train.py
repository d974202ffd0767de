"""python -m trainer.train: fine-tunes MiniLM on SST-2, into a folder that trainer.export reads."""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import DistilBertForSequenceClassification, get_linear_schedule_with_warmup

from . import data, start

BATCH = 32
AVERAGE_EVERY, AVERAGE_KEEPS = 10, 0.99  # steps, and what the average of the weights keeps of itself
BF16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # else it would be slower than float32
Encoded = tuple[list[int], int]  # tokens, label


def encode(examples: list[data.Example]) -> list[Encoded]:
    texts = start.tokenizer().encode_batch([example.text for example in examples])
    return [(text.ids, example.label) for text, example in zip(texts, examples, strict=True)]


def batches(examples: list[Encoded], shuffle: random.Random | None = None) -> Iterator[tuple[Tensor, ...]]:
    """Ids and mask (n, tokens), labels (n,): of texts of like length, so that little of it is padding."""
    heap = 100 * BATCH if shuffle else len(examples)
    order = shuffle.sample(examples, len(examples)) if shuffle else examples
    heaps = [sorted(order[at : at + heap], key=lambda example: len(example[0])) for at in range(0, len(order), heap)]
    parts = [some[at : at + BATCH] for some in heaps for at in range(0, len(some), BATCH)]
    for part in shuffle.sample(parts, len(parts)) if shuffle else parts:
        longest = max(len(ids) for ids, _ in part)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in part])
        yield ids, (ids != 0).long(), torch.tensor([label for _, label in part])


def parameter_groups(model: DistilBertForSequenceClassification, rate: float) -> list[dict[str, Any]]:
    """The nearer a layer is to the words, the more it knew before, and the less it is moved: 0.9 of the next one."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = int(name.split(".")[3]) + 1 if ".layer." in name else 0 if "embeddings" in name else 7
        weight_decay = 0.01 if parameter.ndim > 1 else 0.0
        groups.setdefault((rate * 0.9 ** (7 - depth), weight_decay), []).append(parameter)
    return [{"params": some, "lr": lr, "weight_decay": decay} for (lr, decay), some in groups.items()]


@torch.no_grad()
def accuracy(model: nn.Module, examples: list[Encoded]) -> float:
    was = model.training
    model.eval()
    right = sum(int((model(ids, mask).logits.argmax(1) == labels).sum()) for ids, mask, labels in batches(examples))
    model.train(was)
    return right / len(examples)


def fit(
    model: DistilBertForSequenceClassification,
    train: list[Encoded],
    dev: list[Encoded],
    to: Path,
    seed: int,
    epochs: float,
    rate: float,
) -> None:
    """Looks at dev four times an epoch, and saves that average of the weights that is best there."""
    torch.manual_seed(seed)
    shuffle = random.Random(seed)  # noqa: S311 - not for secrets
    groups = parameter_groups(model, rate)
    optimizer = torch.optim.AdamW(groups, fused=True)
    steps = round(epochs * math.ceil(len(train) / BATCH))
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.06 * steps), steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_KEEPS))
    quarters = math.ceil(4 * epochs)
    looks, best = {round(steps * number / quarters) for number in range(1, quarters + 1)}, 0.0
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    began = time.monotonic()
    model.train()
    endless = (batch for _ in iter(int, 1) for batch in batches(train, shuffle))
    for step, (ids, mask, labels) in zip(tqdm(range(1, steps + 1), unit="batch", mininterval=5), endless, strict=False):
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            logits = model(ids, mask).logits.float()
        loss = cross_entropy(logits, labels, label_smoothing=0.05)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % AVERAGE_EVERY == 0:
            average.update_parameters(model)
        if step in looks:
            curve.append(
                {
                    "epoch": step / steps * epochs,
                    "loss": sum(losses) / len(losses),
                    "dev": accuracy(model, dev),
                    "dev_average": accuracy(average.module, dev),
                    "seconds": time.monotonic() - began,
                }
            )
            losses.clear()
            if curve[-1]["dev_average"] > best:
                best = curve[-1]["dev_average"]
                average.module.save_pretrained(to)
            tqdm.write(json.dumps(curve[-1]))
    (to / "curve.json").write_text(json.dumps(curve, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default=data.SOURCE, help="SST-2's archive or its train.tsv; default: from GLUE")
    parser.add_argument("--dev", default=data.SOURCE, help="the same of dev.tsv")
    parser.add_argument("--to", type=Path, default=Path("build"), help="the folder to write; default: build")
    words = parser.parse_args()
    examples = data.read("train", words.train)
    fit(start.model(), encode(examples), encode(data.read("dev", words.dev)), words.to, seed=1, epochs=4, rate=6e-5)
    start.save_tokenizer(words.to)
    longer = [example.text for example in examples if len(example.text) > 60]  # like those to come
    random.Random(0).shuffle(longer)  # noqa: S311
    (words.to / "texts.txt").write_text("\n".join(longer[:128]) + "\n")


if __name__ == "__main__":
    main()
