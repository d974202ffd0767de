"""The pages: links lead somewhere, commands run and print what the page shows, excerpts are the code."""

import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import (
    Command,
    Reader,
    anchors,
    blocks,
    broken_links,
    console,
    free_port,
    is_excerpt,
    mismatch,
    prose,
    service,
)
from repository import LABS, REBUILT, ROOT, files, name

PAGES = files("*.md")
GLOSSARY = ROOT / "docs" / "glossary.md"
REBUILT_LABS = [lab / "README.md" for lab in REBUILT]
REBUILT_PAGES = [ROOT / "README.md", *REBUILT_LABS]
OLD_LABS = [lab for lab in LABS if lab not in REBUILT]
PARTS = ["Goal", "What is new", "Run it", "Walk-through", "Break it", "Questions", "Reference", "Measured"]
PARTS += ["Further reading"]
# Console commands that no test runs: a part of the command, and why
NOT_RUN = {
    "git clone": "needs the address of the repository",
    "test.sh": "runs this test",
    "poetry ": "Poetry is optional",
    "rm -rf": "removes environments that other tests use",
    "docker image rm": "removes images that other tests use",
    "bench.compare": "downloads 4 environments and takes 12 minutes",
    "install.sh train": "changes an environment that other tests use",
    "trainer.train": "takes 6 minutes",
}
NEEDS_DOCKER = re.compile(
    r"\bdocker\b|run\.sh(?! local)\b|\b(kubectl|minikube)\b"
)  # test_readmes_docker.py runs these blocks
NEEDS_WRK = re.compile(r"\bwrk\b|bench\.(cache|compare|routes)\b")

each_page = pytest.mark.parametrize("page", PAGES, ids=name)
each_rebuilt_page = pytest.mark.parametrize("page", REBUILT_PAGES, ids=name)
each_rebuilt_lab = pytest.mark.parametrize("page", REBUILT_LABS, ids=name)


def sh_commands(page: Path) -> list[str]:
    lines = [line for block in blocks(page.read_text(), "sh") for line in block.splitlines()]
    return [line for line in lines if "test.sh" not in line]


def wrong_parts(text: str) -> list[str]:
    """What a lab's page lacks of the form in language.md. A question is a numbered item."""
    parts = re.findall(r"^## (.+)$", prose(text), re.MULTILINE)
    if parts != PARTS:
        return [f"the parts are {parts}"]
    questions = text.split("\n## Questions\n")[1].split("\n## ")[0]
    answers = questions.count("<details>")
    asked = len(re.findall(r"^\d+\. ", re.sub(r"<details>.*?</details>", "", questions, flags=re.DOTALL), re.MULTILINE))
    return [] if answers == asked >= 2 else [f"{asked} questions and {answers} answers"]


def new_terms(text: str) -> set[str]:
    """The terms in italics that the part "What is new" introduces, in lower case."""
    part = prose(text).partition("## What is new\n")[2].split("\n## ")[0]
    return {
        " ".join(term.lower().split()) for term in re.findall(r"(?<![*\w])\*([^*\s](?:[^*]*[^*\s])?)\*(?![*\w])", part)
    }


def glossary(text: str) -> dict[str, str]:
    """Entries by term in lower case. An entry is a list item or a table row that starts with the term in bold."""
    entries = re.findall(r"^(?:[-*]|\|) *\*\*(.+?)\*\*(.*(?:\n +\S.*)*)", text, re.MULTILINE)
    return {re.sub(r"\[|\]\(.*", "", term).lower(): term + rest for term, rest in entries}


def console_blocks(page: Path, docker: bool) -> list[tuple[int, list[Command]]]:
    """The console blocks of a page that need Docker, or those that do not, with their numbers."""
    numbered = []
    for number, block in enumerate(console(page.read_text()), 1):
        run = [entry for entry in block if not any(part in entry.command for part in NOT_RUN)]
        if run and any(NEEDS_DOCKER.search(entry.command) for entry in run) == docker:
            numbered.append((number, run))
    return numbered


@pytest.fixture(scope="module")
def readers() -> Iterator[list[Reader]]:
    """The reader of the current page. It reads all blocks of the page, so its service starts once."""
    readers: list[Reader] = []
    yield readers
    for reader in readers:
        reader.close()


@pytest.fixture(scope="module", params=LABS, ids=name)
def kept(request: pytest.FixtureRequest) -> Iterator[tuple[Path, str]]:
    """A lab whose service runs, and its port."""
    port = free_port()
    with service(request.param, "./run.sh local --keep", port):
        yield request.param, port


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize(
    ("page", "command"),
    [pytest.param(page, command, id=f"{name(page)} {command}") for page in PAGES for command in sh_commands(page)],
)
def test_every_sh_command_succeeds(page: Path, command: str) -> None:
    environment = os.environ | {"PORT": free_port()}
    done = subprocess.run(["bash", "-c", command], cwd=page.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("page", "block"),
    [
        pytest.param(page, block, id=f"{name(page)} block {number}")
        for page in REBUILT_PAGES
        for number, block in console_blocks(page, docker=False)
    ],
)
def test_console_block_prints_what_the_page_shows(readers: list[Reader], page: Path, block: list[Command]) -> None:
    if any(NEEDS_WRK.search(entry.command) for entry in block) and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    if not readers or readers[0].page != page:
        while readers:
            readers.pop().close()
        readers.append(Reader(page))
    differences = readers[0].run(block)
    assert differences == [], "\n".join(differences)


@each_rebuilt_page
def test_code_on_a_page_is_an_excerpt_of_a_file(page: Path) -> None:
    folder = "." if page.parent == ROOT else page.parent.name
    texts = [path.read_text(errors="ignore") for path in files(folder) if path.suffix != ".md"]
    excerpts = blocks(page.read_text(), "python", "dockerfile", "bash", "toml")
    assert [block for block in excerpts if not any(is_excerpt(block, text) for text in texts)] == []


@each_page
def test_tests_that_a_page_names_exist(page: Path) -> None:
    code = "".join(path.read_text() for path in files("*test_*.py"))
    named = re.findall(r"`(test_\w+)`", page.read_text())
    assert [test for test in named if f"def {test}(" not in code] == []


@each_rebuilt_lab
def test_lab_page_has_the_nine_parts_and_an_answer_to_every_question(page: Path) -> None:
    assert wrong_parts(page.read_text()) == []


@each_rebuilt_lab
def test_new_terms_are_in_the_glossary(page: Path) -> None:
    terms = new_terms(page.read_text())
    assert terms
    assert terms - glossary(GLOSSARY.read_text()).keys() == set()


def test_every_glossary_entry_has_a_link() -> None:
    assert [term for term, entry in glossary(GLOSSARY.read_text()).items() if "](" not in entry] == []


def test_root_page_lists_every_lab_in_a_table() -> None:
    table = "\n".join(re.findall(r"^\|.*", (ROOT / "README.md").read_text(), re.MULTILINE))
    labs = {script.parent.name for script in files("*/run.sh")}
    assert {lab for lab in labs if f"]({lab}/README.md)" not in table} == set()
    assert {"lab_1", "lab_5", "final_project"} <= labs


@pytest.mark.parametrize("lab", OLD_LABS, ids=name)
def test_page_of_an_old_lab_has_its_parts(lab: Path) -> None:
    text = (lab / "README.md").read_text()
    for part in ("What is new", "./run.sh local", "## Clean up", "## Measured", "## Three questions", "## Test it"):
        assert part in text, part
    assert re.search(r"^3\. .+\?", text.split("## Three questions")[1], re.MULTILINE | re.DOTALL)


def test_service_serves_its_documentation_and_answers_as_an_old_page_shows(kept: tuple[Path, str]) -> None:
    lab, port = kept
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=30) as page:
        assert page.status == 200
    if lab not in OLD_LABS:
        return
    commands = [entry for block in console((lab / "README.md").read_text()) for entry in block]
    curls = [entry for entry in commands if entry.command.startswith("curl ")]
    assert curls
    for command, shown in curls:
        arguments = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        output = subprocess.run([*arguments, "--silent"], capture_output=True, text=True, check=True).stdout
        assert mismatch(shown, output) == "", command


# The rules reject a broken page


def test_broken_links_are_found() -> None:
    text = """# One `code` [x](y)
[a](nowhere.md) [b](#one-code-x) [c](#two) <img src="d.png">
[e](lab_1/README.md#nothing) [f](lab_1) [g](https://example.org) `[h](h)`
```sh
# Two
[i](i)
```
[j]: j.md
"""
    assert broken_links(ROOT / "page.md", text) == [
        "y",
        "nowhere.md",
        "#two",
        "d.png",
        "lab_1/README.md#nothing",
        "j.md",
    ]
    assert anchors("# A\n## A\n") == {"a", "a-1"}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("def f():\n    return 1\n", True),
        ("return 1\n", True),
        ("def f():\n    return 2\n", False),
        ("def f():\nreturn 1\n", False),
        ("class A:\n    pass\n", False),
        ("", False),
    ],
)
def test_excerpt_is_verbatim_at_any_indentation(block: str, expected: bool) -> None:
    assert is_excerpt(block, "class A:\n\n    def f():\n\n        return 1\n    pass\n") == expected


def test_output_that_differs_from_the_page_is_reported(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        "```console\n$ mkdir a && cd a \\\n    && x=1\n$ basename $PWD\na\n```\n"
        "```console\n$ basename $PWD; echo $x\n...\n1\n$ echo 0.12345678\n0.12345699\n"
        "$ echo two\n$ cat\none\n$ (\n...error...\n```\n"
    )
    reader = Reader(page)
    differences = [reader.run(block) for block in console(page.read_text())]
    reader.close()
    assert [[text.split("\n")[0] for text in each] for each in differences] == [[], ["$ echo two", "$ cat"]]


def test_page_without_a_part_or_an_answer_is_reported() -> None:
    parts = dict.fromkeys(PARTS, "") | {"Questions": "\n1. A?\n<details>1. B</details>\n2. C?\n<details></details>"}
    page = "\n".join(f"## {part}\n{text}" for part, text in parts.items())
    assert wrong_parts(page) == []
    assert wrong_parts(page.replace("## Goal\n", "")) == [f"the parts are {PARTS[1:]}"]
    assert wrong_parts(page + "\n## Measured\n") == [f"the parts are {[*PARTS, 'Measured']}"]
    assert wrong_parts(page.replace("2. C?", "")) == ["1 questions and 2 answers"]
    assert wrong_parts(page.replace("<details></details>", "")) == ["2 questions and 1 answers"]


def test_terms_and_glossary_entries_are_recognized() -> None:
    text = "## What is new\n**bold**, *GIL* and [*event\nloop*](x). 2 * 3 * 4\n## Run it\n*other*"
    assert new_terms(text) == {"gil", "event loop"}
    entries = glossary("- **GIL**: a lock,\n  [see](x)\n* **[Event loop](y)** (asyncio)\n| **p99** | no link |\nText\n")
    assert [(term, "](" in entry) for term, entry in entries.items()] == [
        ("gil", True),
        ("event loop", True),
        ("p99", False),
    ]
