"""The slow console blocks."""

import shutil
from pathlib import Path

import pytest

import cluster
from pages import console_blocks, differences
from repository import name
from test_readmes import EXECUTED_PAGES

pytestmark = cluster.needs_docker


@pytest.mark.parametrize("page", EXECUTED_PAGES, ids=name)
def test_slow_console_blocks_print_what_the_page_shows(page: Path, tmp_path: Path, installed: None) -> None:
    blocks = console_blocks(page, slow=True)
    commands = "".join(command for block in blocks for command, _ in block)
    if cluster.missing_requirement() and "kubectl" in commands:
        pytest.skip(f"needs a cluster: {cluster.missing_requirement()}")
    for word, program in {"bench.": "wrk", "prometheus ": "prometheus"}.items():
        if word in commands and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    found = differences(page, blocks, tmp_path)
    assert found == [], "\n".join(found)
