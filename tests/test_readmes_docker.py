"""The pages' console blocks that need Docker. They share images with test_images.py, which runs before them."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from pages import Reader
from repository import name
from test_readmes import REBUILT, console_blocks

pytestmark = pytest.mark.skipif(
    subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0, reason="Docker is not running"
)


@pytest.mark.parametrize("page", REBUILT, ids=name)
def test_console_blocks_print_what_the_page_shows(page: Path) -> None:
    with contextlib.closing(Reader(page)) as reader:
        differences = [text for _, block in console_blocks(page, docker=True) for text in reader.run(block)]
    assert differences == [], "\n".join(differences)
