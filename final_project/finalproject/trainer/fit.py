"""The training loop, for the teacher and for the model."""

import hashlib
import json
import math
import random
import time
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from .batches import Encoded, batches

AVERAGE_STEPS, AVERAGE_DECAY = 10, 0.98  # of the exponential moving average of the weights
CHECKPOINT, UNFINISHED = "state.pt", "state.tmp"
EVALUATIONS = 8
LAYER_DECAY = 0.9
SEED = 1  # of the new weights and of dropout
ORDER_SEED = 0  # of the order of the examples
BFLOAT16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # without these instructions, float32 is faster


def parameter_groups(model: PreTrainedModel, rate: float) -> list[dict[str, Any]]:
    """Layer-wise learning-rate decay: the rate of a layer is 0.9 times the rate of the next layer.

    Lower layers are more general, so they need less change. Weight decay applies to matrices only.
    """
    head = model.config.num_hidden_layers + 1
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = int(name.split(".")[3]) + 1 if ".layer." in name else 0 if "embeddings" in name else head
        weight_decay = 0.01 if parameter.ndim > 1 else 0.0
        groups.setdefault((rate * LAYER_DECAY ** (head - depth), weight_decay), []).append(parameter)
    return [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()]


def differences(logits: torch.Tensor) -> torch.Tensor:
    """The logit of POSITIVE minus that of NEGATIVE: (texts, 2) becomes (texts,). Its sigmoid is the probability."""
    return logits[:, 1] - logits[:, 0]


@torch.no_grad()
def accuracy(model: PreTrainedModel, examples: list[Encoded]) -> float:
    training = model.training
    model.eval()
    correct = sum(
        int(((differences(model(ids, mask).logits) > 0) == (targets > 0.5)).sum())
        for ids, mask, targets in batches(examples, model.config.pad_token_id, 32)
    )
    model.train(training)
    return correct / len(examples)


def fit(
    model: PreTrainedModel,
    training: list[Encoded],
    selection: list[Encoded],
    out: Path,
    epochs: float,
    batch_size: int,
    rate: float,
    averaged: bool,
) -> None:
    """Saves the weights with the best accuracy on `selection`, and the learning curve.

    Continues from the checkpoint in `out`, which the caller deletes when it has finished. Raises a ValueError if the
    checkpoint is of another training.
    """
    shuffle = random.Random(ORDER_SEED)  # noqa: S311 - not for secrets
    optimizer = torch.optim.AdamW(parameter_groups(model, rate), fused=True)
    steps = round(epochs * math.ceil(len(training) / batch_size))
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.06 * steps), steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY)) if averaged else None
    candidate = average.module if average else model
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule} | ({"average": average} if average else {})
    evaluation_steps = {round(steps * number / EVALUATIONS) for number in range(1, EVALUATIONS + 1)}
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    done, start = 0, time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / CHECKPOINT
    settings = [steps, batch_size, rate, hashlib.sha256(repr(training).encode()).hexdigest()]
    if checkpoint.exists():
        state = torch.load(checkpoint)
        if state.get("settings") != settings:
            raise ValueError(f"{checkpoint} is of another training: delete it")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        curve, done = state["curve"], state["step"]
        start -= curve[-1]["seconds"]
    else:
        (out / UNFINISHED).touch()  # fails at once if it cannot be written; trainer.export rejects the folder
    model.train()
    endless = chain.from_iterable(batches(training, model.config.pad_token_id, batch_size, shuffle) for _ in count())
    progress = tqdm(islice(endless, steps), total=steps, unit="batch", mininterval=5)
    for step, (ids, mask, targets) in enumerate(progress, 1):
        if step <= done:
            continue
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            logits = model(ids, mask).logits.float()
        loss = binary_cross_entropy_with_logits(differences(logits), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if average and step % AVERAGE_STEPS == 0:
            average.update_parameters(model)
        if step in evaluation_steps:
            point = {"epoch": step / steps * epochs, "loss": sum(losses) / len(losses)}
            point |= {"accuracy": accuracy(candidate, selection), "seconds": time.monotonic() - start}
            if point["accuracy"] >= max((earlier["accuracy"] for earlier in curve), default=0):
                candidate.save_pretrained(out)
            curve.append(point)
            losses.clear()
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"random": torch.get_rng_state(), "curve": curve, "step": step, "settings": settings}
            torch.save(state, out / UNFINISHED)
            (out / UNFINISHED).rename(checkpoint)
            tqdm.write(json.dumps(point))
    (out / "curve.json").write_text(json.dumps(curve, indent=2) + "\n")
