"""Batches of examples of similar length, so that few of their tokens are padding."""

import random
from collections.abc import Iterable, Iterator

import torch
from tokenizers import Tokenizer
from torch import Tensor

BUCKET_SIZE = 3200
Encoded = tuple[list[int], float]  # tokens; target: the probability of POSITIVE


def encode(tokenizer: Tokenizer, texts: list[str], targets: Iterable[float]) -> list[Encoded]:
    encodings = tokenizer.encode_batch(texts)
    return [(encoding.ids, float(target)) for encoding, target in zip(encodings, targets, strict=True)]


def pad(rows: list[list[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, each (texts, tokens of the longest text)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
    return ids, (ids != padding).long()


def batches(
    examples: list[Encoded], padding: int, size: int, shuffle: random.Random | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Token ids, attention mask, and targets (texts,).

    Without `shuffle`, all examples are sorted by length. With it, the examples of a random bucket of 3,200 are sorted,
    so the batches of each epoch differ.
    """
    examples = shuffle.sample(examples, len(examples)) if shuffle else examples
    bucket_size = BUCKET_SIZE if shuffle else len(examples)
    batches = []
    for start in range(0, len(examples), bucket_size):
        bucket = sorted(examples[start : start + bucket_size], key=lambda example: len(example[0]))
        batches += [bucket[index : index + size] for index in range(0, len(bucket), size)]
    for batch in shuffle.sample(batches, len(batches)) if shuffle else batches:
        yield *pad([tokens for tokens, _ in batch], padding), torch.tensor([target for _, target in batch])
