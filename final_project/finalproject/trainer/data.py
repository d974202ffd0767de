"""SST-2 as GLUE has it: 67,349 phrases and sentences of film reviews to train on, 872 sentences to look at (Socher et
al., Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank, 2013)."""

import csv
import gzip
import hashlib
import io
import zipfile
from typing import NamedTuple
from urllib.request import urlopen

SOURCE = "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"  # GLUE's own archive
DIGESTS = {
    "train": "5c47819a1d04cfabc7afcc79a919c97b0b367101ad42d3ff148d67bf501384c2",
    "dev": "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0",
}


class Example(NamedTuple):
    text: str
    label: int  # 0 negative, 1 positive


def read(part: str, source: str = SOURCE) -> list[Example]:
    """The examples of `part`, "train" or "dev": from GLUE's archive at an https address, or from a path of the archive,
    or of one of its .tsv files, which may be in a .gz."""
    if source.startswith(("https://", "http://127.0.0.1:")):
        with urlopen(source, timeout=60) as answer:  # noqa: S310 - the scheme is checked
            content: bytes = answer.read()
    else:
        with open(source, "rb") as file:
            content = file.read()
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(f"SST-2/{part}.tsv")
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    if hashlib.sha256(content).hexdigest() != DIGESTS[part]:
        raise ValueError(f"{source} is not SST-2's {part}.tsv: its SHA-256 differs")
    rows = csv.DictReader(io.StringIO(content.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [Example(row["sentence"].strip(), int(row["label"])) for row in rows]
