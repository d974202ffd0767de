"""The slow console blocks."""

import shutil
from pathlib import Path

import pytest

import cluster
from pages import Block, console_blocks, differences
from repository import name
from test_readmes import EXECUTED_PAGES

pytestmark = cluster.needs_docker
MARKS = {True: cluster.needs_cluster, False: pytest.mark.docker}
BLOCKS = {page: part for page in EXECUTED_PAGES if (part := console_blocks(page, slow=True))}
PAGES = [pytest.param(page, part, marks=MARKS["kubectl" in str(part)], id=name(page)) for page, part in BLOCKS.items()]


@pytest.mark.parametrize(("page", "blocks"), PAGES)
def test_slow_blocks_print_what_a_page_shows(page: Path, blocks: list[Block], installed: None, tmp_path: Path) -> None:
    commands = "".join(command for block in blocks for command, _ in block)
    for word, program in {"bench.": "wrk", "prometheus ": "prometheus"}.items():
        if word in commands and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    found = differences(page, blocks, tmp_path)
    assert found == [], "\n".join(found)
