"""Batches of examples of similar length, so that few of their tokens are padding."""

import random
from collections.abc import Iterator

import torch
from torch import Tensor

from . import data, pretrained

BATCH_SIZE = 32
BATCHES_PER_BUCKET = 100
Encoded = tuple[list[int], int]  # tokens, label


def encode(examples: list[data.Example]) -> list[Encoded]:
    encodings = pretrained.load_tokenizer().encode_batch([example.text for example in examples])
    return [(encoding.ids, example.label) for encoding, example in zip(encodings, examples, strict=True)]


def batches(examples: list[Encoded], shuffle: random.Random | None = None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Token ids and attention mask, each (texts, tokens of the longest text), and labels (texts,).

    Without `shuffle`, all examples are sorted by length. With it, the examples of a random bucket of 3,200 are sorted,
    so the batches of each epoch differ.
    """
    examples = shuffle.sample(examples, len(examples)) if shuffle else examples
    bucket_size = BATCHES_PER_BUCKET * BATCH_SIZE if shuffle else len(examples)
    batches = []
    for start in range(0, len(examples), bucket_size):
        bucket = sorted(examples[start : start + bucket_size], key=lambda example: len(example[0]))
        batches += [bucket[index : index + BATCH_SIZE] for index in range(0, len(bucket), BATCH_SIZE)]
    for batch in shuffle.sample(batches, len(batches)) if shuffle else batches:
        longest = max(len(tokens) for tokens, _ in batch)
        ids = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens, _ in batch])
        yield ids, (ids != 0).long(), torch.tensor([label for _, label in batch])
