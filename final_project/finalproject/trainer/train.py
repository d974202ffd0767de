"""python -m trainer.train: fine-tunes MiniLM on SST-2, in two stages, into a folder that trainer.export reads.

1. A teacher, from the labels. 2. A student, from the labels and what the teacher makes of each text. A stage that is
there already is not done again.
"""

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
TEMPERATURE = 1.5  # of the teacher's opinions
Encoded = tuple[list[int], int, float]  # tokens, label, the teacher's probability of label 1


def encode(examples: list[data.Example]) -> list[Encoded]:
    texts = start.tokenizer().encode_batch([example.text for example in examples])
    return [(text.ids, example.label, float(example.label)) for text, example in zip(texts, examples, strict=True)]


def batches(examples: list[Encoded], shuffle: random.Random | None = None) -> Iterator[tuple[Tensor, ...]]:
    """Ids and mask (n, tokens), labels and opinions (n,): of texts of like length, so that little of it is padding."""
    heap = 100 * BATCH if shuffle else len(examples)
    order = shuffle.sample(examples, len(examples)) if shuffle else examples
    heaps = [sorted(order[at : at + heap], key=lambda example: len(example[0])) for at in range(0, len(order), heap)]
    parts = [some[at : at + BATCH] for some in heaps for at in range(0, len(some), BATCH)]
    for part in shuffle.sample(parts, len(parts)) if shuffle else parts:
        longest = max(len(ids) for ids, *_ in part)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, *_ in part])
        yield ids, (ids != 0).long(), torch.tensor([label for _, label, _ in part]), torch.tensor([p for *_, p in part])


def parameter_groups(
    model: DistilBertForSequenceClassification, rate: float, frozen_words: bool
) -> list[dict[str, Any]]:
    """The nearer a layer is to the words, the more it knew before, and the less it is moved: 0.9 of the next one."""
    model.distilbert.embeddings.word_embeddings.requires_grad_(not frozen_words)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = int(name.split(".")[3]) + 1 if ".layer." in name else 0 if "embeddings" in name else 7
            weight_decay = 0.01 if parameter.ndim > 1 else 0.0
            groups.setdefault((rate * 0.9 ** (7 - depth), weight_decay), []).append(parameter)
    return [{"params": some, "lr": lr, "weight_decay": decay} for (lr, decay), some in groups.items()]


@torch.no_grad()
def opinions(model: nn.Module, examples: list[Encoded]) -> list[float]:
    """The probability of label 1, tempered, for each example."""
    model.eval()
    order = sorted(range(len(examples)), key=lambda at: len(examples[at][0]))
    parts = (
        model(ids, mask).logits
        for ids, mask, *_ in tqdm(batches(examples), total=math.ceil(len(examples) / BATCH), mininterval=5)
    )
    sorted_opinions = torch.cat([(logits / TEMPERATURE).softmax(1)[:, 1] for logits in parts]).tolist()
    found = dict(zip(order, sorted_opinions, strict=True))
    return [found[at] for at in range(len(examples))]


@torch.no_grad()
def accuracy(model: nn.Module, examples: list[Encoded]) -> float:
    was = model.training
    model.eval()
    right = sum(int((model(ids, mask).logits.argmax(1) == labels).sum()) for ids, mask, labels, _ in batches(examples))
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
    teacher: float = 0.0,
    frozen_words: bool = False,
) -> None:
    """Saves the average of the last weights. `teacher` is how much its opinions count beside the labels. The accuracy
    on dev is written down, and decides nothing."""
    torch.manual_seed(seed)
    shuffle = random.Random(seed)  # noqa: S311 - not for secrets
    groups = parameter_groups(model, rate, frozen_words)
    optimizer = torch.optim.AdamW(groups, fused=True)
    steps = round(epochs * math.ceil(len(train) / BATCH))
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.06 * steps), steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_KEEPS))
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    began = time.monotonic()
    model.train()
    endless = (batch for _ in iter(int, 1) for batch in batches(train, shuffle))
    for step, (ids, mask, labels, opinion) in zip(
        tqdm(range(1, steps + 1), unit="batch", mininterval=5), endless, strict=False
    ):
        logits = model(ids, mask).logits
        loss = (1 - teacher) * cross_entropy(logits, labels, label_smoothing=0.05)
        if teacher:
            loss += teacher * cross_entropy(logits, torch.stack([1 - opinion, opinion], 1))
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % AVERAGE_EVERY == 0:
            average.update_parameters(model)
        if step % (steps // math.ceil(4 * epochs)) == 0:
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
            tqdm.write(json.dumps(curve[-1]))
    average.module.save_pretrained(to)
    (to / "curve.json").write_text(json.dumps(curve, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default=data.SOURCE, help="SST-2's archive or its train.tsv; default: from GLUE")
    parser.add_argument("--dev", default=data.SOURCE, help="the same of dev.tsv")
    parser.add_argument("--to", type=Path, default=Path("build"), help="the folder of the stages; default: build")
    words = parser.parse_args()
    examples, dev = data.read("train", words.train), encode(data.read("dev", words.dev))
    train = encode(examples)
    teacher, student = words.to / "teacher", words.to / "student"
    if not teacher.exists():
        print("1. the teacher")
        fit(start.model(), train, dev, teacher, seed=1, epochs=4, rate=8e-5, frozen_words=True)
    if not student.exists():
        print("2. the student")
        told = opinions(DistilBertForSequenceClassification.from_pretrained(teacher), train)
        train = [(ids, label, opinion) for (ids, label, _), opinion in zip(train, told, strict=True)]
        fit(start.model(), train, dev, student, seed=2, epochs=3, rate=6e-5, teacher=0.6)
        start.save_tokenizer(student)
    longer = [example.text for example in examples if len(example.text) > 60]  # like those to come
    random.Random(0).shuffle(longer)  # noqa: S311
    (student / "texts.txt").write_text("\n".join(longer[:128]) + "\n")


if __name__ == "__main__":
    main()
