"""What the model learns: the teacher's probabilities for the training set and for augmented sentences.

teacher.npz contains logits, but no text. The training set is downloaded, and the augmented sentences are made again.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import data, pretrained
from .augment import augment, similar_words
from .batches import Encoded, encode

AUGMENTED = 80_000  # sentences
LOGITS = Path(__file__).parent / "teacher.npz"
LEVELS_PER_LOGIT = 32  # int8 has -127 to 127, and the teacher's logits are between -4 and 4


def augmented_sentences(examples: list[data.Example], training: list[int], count: int = AUGMENTED) -> list[str]:
    return augment([examples[index].text for index in training], count, similar_words())


def digest(texts: list[str]) -> str:
    return sha256("\n".join(texts).encode()).hexdigest()


def write_logits(path: Path, examples: NDArray[np.float32], augmented: NDArray[np.float32], texts: list[str]) -> None:
    """Stores the logits, POSITIVE minus NEGATIVE, of the training set (67,349,) and of the sentences `texts`."""
    rows = [np.clip(np.round(LEVELS_PER_LOGIT * row), -127, 127).astype(np.int8) for row in (examples, augmented)]
    np.savez_compressed(path, examples=rows[0], augmented=rows[1], sha256=np.array(digest(texts)))


def read_probabilities(path: Path, texts: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The probabilities of POSITIVE. Raises a ValueError if the teacher labelled other sentences than `texts`."""
    with np.load(path) as file:
        if file["sha256"] != digest(texts):
            raise ValueError(f"{path} belongs to other augmented sentences: the SHA-256 differs")
        examples, augmented = (1 / (1 + np.exp(-file[name] / LEVELS_PER_LOGIT)) for name in ("examples", "augmented"))
    return examples, augmented


def soft_targets(examples: list[data.Example], training: list[int]) -> list[Encoded]:
    """Examples with the mean of label and teacher's probability, and augmented sentences with the teacher's."""
    texts = augmented_sentences(examples, training)
    probabilities, augmented = read_probabilities(LOGITS, texts)
    means = [(examples[index].label + probabilities[index]) / 2 for index in training]
    return encode(
        pretrained.load_tokenizer(), [examples[index].text for index in training] + texts, [*means, *augmented]
    )
