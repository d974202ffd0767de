"""The texts, settings and statistics of the benchmarks."""

import gzip
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

from .servers import PROJECT

RESULTS = PROJECT.parent / "results"
Result = dict[str, Any]


def setting(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def choices(name: str, known: list[str]) -> list[str]:
    """The names in an environment variable, separated by commas; all of them if it is not set."""
    chosen = os.environ.get(name, ",".join(known)).split(",")
    if unknown := [item for item in chosen if item not in known]:
        sys.exit(f"{name}: {unknown[0]} is not one of {','.join(known)}")
    return chosen


def read_texts(path: Path) -> list[str]:
    """The texts of SST-2's dev.tsv, which may be a .gz file, or of a file with one text per line."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    header, *lines = content.decode().splitlines()
    return [line.split("\t")[0].strip() for line in lines] if header.startswith("sentence\t") else [header, *lines]


def spread(values: list[float], form: str = ",.0f") -> str:
    """The median, and the lowest to the highest value."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """One ratio per round: both values of a round were measured within seconds."""
    return [numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]
