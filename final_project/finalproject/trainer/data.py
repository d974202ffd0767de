"""SST-2 as distributed with GLUE: sentences and phrases of film reviews, labelled negative or positive.

The training set has 67,349 examples, the dev set 872. Source: Socher et al., Recursive Deep Models for Semantic
Compositionality Over a Sentiment Treebank, EMNLP 2013.
"""

import csv
import gzip
import hashlib
import io
import random
import zipfile
import zlib
from http.client import HTTPException
from typing import NamedTuple
from urllib.request import urlopen

SOURCE = "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"  # GLUE's own archive
DIGESTS = {  # SHA-256 of train.tsv and dev.tsv
    "train": "5c47819a1d04cfabc7afcc79a919c97b0b367101ad42d3ff148d67bf501384c2",
    "dev": "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0",
}


class Example(NamedTuple):
    text: str
    label: int  # 0: negative, 1: positive


def read(split: str, source: str = SOURCE) -> list[Example]:
    """The examples of `split`, "train" or "dev".

    `source` is an https URL or a path: of GLUE's archive, or of one of its .tsv files, plain or as .gz.
    Raises a ValueError if the SHA-256 of the .tsv file differs.
    """
    if source.startswith(("https://", "http://127.0.0.1:")):
        try:
            with urlopen(source, timeout=60) as response:  # noqa: S310 - the scheme is checked
                content: bytes = response.read()
        except (HTTPException, OSError) as error:
            raise OSError(f"cannot download {source}: {error}") from error
    else:
        with open(source, "rb") as file:
            content = file.read()
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content = archive.read(f"SST-2/{split}.tsv")
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (EOFError, KeyError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{source} is damaged, or not SST-2: {error}") from error
    if hashlib.sha256(content).hexdigest() != DIGESTS[split]:
        raise ValueError(f"{source} is not SST-2's {split}.tsv: the SHA-256 differs")
    rows = csv.DictReader(io.StringIO(content.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [Example(row["sentence"].strip(), int(row["label"])) for row in rows]


def split(examples: list[Example], held_out: int = 1000) -> tuple[list[int], list[int]]:
    """Indices of the examples to train on, and of the sentences (15 words or more) that select the weights.

    A phrase of one of these sentences is in neither list, because training on it would make its sentence easier.
    A longer example that contains one of them is trained on, so the accuracy on the selection is too high.
    """
    sentences = [index for index, example in enumerate(examples) if len(example.text.split()) >= 15]
    random.Random(7).shuffle(sentences)  # noqa: S311 - not for secrets
    selection = sentences[:held_out]
    text = "\n".join(f" {examples[index].text} " for index in selection)
    return [index for index, example in enumerate(examples) if f" {example.text} " not in text], selection
