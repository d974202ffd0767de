"""Fills the tables of Findings.md from the files in ../results/."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from .results import RESULTS, Result
from .tables import budget, memory, overload, rivals, table, techniques
from .tables_over_time import autoscaler, pods, soak

# the name in the page: the file in results/, and what renders it
PAGE_TABLES: dict[str, tuple[str, Callable[[Result], str]]] = {
    "table": ("table", table),
    "techniques": ("techniques", techniques),
    "overload": ("overload", overload),
    "rivals": ("rivals", rivals),
    "memory": ("memory", memory),
    "budget": ("budget", budget),
    "pods": ("cluster", pods),
    "autoscaler": ("cluster", autoscaler),
    "soak": ("soak", soak),
}
TABLES: dict[str, Callable[[Result], str]] = {
    **{name: render for name, (_, render) in PAGE_TABLES.items()},
    "cluster": lambda result: f"{pods(result)}\n\n{autoscaler(result)}",
}
# the image in ../images: the file that it is drawn from
IMAGES = {
    "overload": RESULTS / "overload.json",
    "autoscaler": RESULTS / "cluster.json",
    "soak": RESULTS / "soak.json",
}
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def digest(file: Path) -> str:
    """The metadata of an image has the SHA-256 of its results, which a test compares."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def filled(page: str) -> str:
    """The page with each block `<!-- table NAME -->` to `<!-- end -->` made again from results/."""

    def block(match: re.Match[str]) -> str:
        name, render = PAGE_TABLES[match[2]]
        file = RESULTS / f"{name}.json"
        content = render(json.loads(file.read_text())) if file.exists() else "Not measured yet."
        return f"{match[1]}{content}\n{match[3]}"

    return BLOCK.sub(block, page)
