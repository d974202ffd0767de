"""The console blocks that need Docker or a cluster. They share images with test_images.py, which runs before them."""

import contextlib
import subprocess
from pathlib import Path

import pytest

import cluster
from pages import Reader
from repository import name
from test_readmes import REBUILT_PAGES, console_blocks

pytestmark = pytest.mark.skipif(
    subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0, reason="Docker is not running"
)


@pytest.mark.parametrize("page", REBUILT_PAGES, ids=name)
def test_console_blocks_print_what_the_page_shows(page: Path) -> None:
    blocks = [block for _, block in console_blocks(page, docker=True)]
    if cluster.missing_requirement() and any("kubectl" in entry.command for block in blocks for entry in block):
        pytest.skip(f"needs a cluster: {cluster.missing_requirement()}")
    with contextlib.closing(Reader(page)) as reader:
        differences = [text for block in blocks for text in reader.run(block)]
    assert differences == [], "\n".join(differences)
