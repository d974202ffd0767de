"""What a README promises: links lead somewhere, its commands run, and a service answers as it shows."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import LABS, ROOT, files, name

READMES = files("*README.md")


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)


def commands(readme: Path) -> list[str]:
    """The lines of its `sh` blocks; test.sh is what runs this."""
    lines = [line for block in blocks(readme, "sh") for line in block.splitlines()]
    return [line for line in lines if "test.sh" not in line]


def plain(answer: str) -> str:
    """Without the last digits, which differ between processors."""
    return re.sub(r"\d+\.\d{7,}", lambda number: f"{float(number[0]):.6f}", answer)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def links(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]


def anchors(readme: Path) -> set[str]:
    """The places within a page, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.+)$", readme.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_every_link_leads_somewhere(readme: Path) -> None:
    assert [link for link in links(readme.read_text()) if not (readme.parent / link).exists()] == []
    within = re.findall(r"\]\(#([^)]+)\)", readme.read_text())
    assert [anchor for anchor in within if anchor not in anchors(readme)] == []


def test_a_broken_link_is_told() -> None:
    assert links("see [this](nowhere.md) and [that](https://example.org)") == ["nowhere.md"]


@pytest.mark.parametrize(
    ("readme", "command"),
    [(readme, command) for readme in READMES for command in commands(readme)],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
def test_every_command_runs(readme: Path, command: str) -> None:
    environment = os.environ | {"PORT": str(free_port())}
    done = subprocess.run(["bash", "-c", command], cwd=readme.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("lab", LABS, ids=name)
def test_the_lab_has_what_each_readme_has(lab: Path) -> None:
    text = (lab / "README.md").read_text()
    for promise in ("What is new", "./run.sh local", "## Clean up", "## Measured", "## Three questions", "## Test it"):
        assert promise in text, promise
    assert re.search(r"^3\. .+\?", text.split("## Three questions")[1], re.MULTILINE | re.DOTALL)
    assert f"[{lab.name}]({lab.name}/README.md)" in (ROOT / "README.md").read_text()


@pytest.fixture(scope="module", params=LABS, ids=name)
def kept(request: pytest.FixtureRequest) -> Iterator[tuple[Path, int]]:
    """A lab that is kept up, and its port."""
    port = free_port()
    process = subprocess.Popen(
        ["./run.sh", "local", "--keep"],
        cwd=request.param,
        env=os.environ | {"PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    try:
        assert any(line.startswith("kept at") for line in process.stdout)
        yield request.param, port
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


def test_the_service_answers_as_the_readme_shows(kept: tuple[Path, int]) -> None:
    lab, port = kept
    shown = re.findall(r"^\$ (curl .+)\n(.+)$", "\n".join(blocks(lab / "README.md", "console")), re.MULTILINE)
    assert shown
    if not shutil.which("curl"):
        pytest.skip("curl is missing")
    for command, answer in shown:
        words = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        done = subprocess.run([*words, "--silent"], capture_output=True, text=True)
        assert plain(done.stdout) == plain(answer), command


def test_the_documentation_is_where_the_script_says(kept: tuple[Path, int]) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{kept[1]}/docs", timeout=30) as page:
        assert page.status == 200
