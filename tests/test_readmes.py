"""The pages: links lead somewhere, commands run and print what the page shows, excerpts are the code."""

import re
from pathlib import Path

import pytest

from pages import PAGES, blocks, broken_links, console_blocks, differences, is_excerpt, prose
from repository import LAB_5, LABS, ROOT, files, name

LAB_PAGES = [lab / "README.md" for lab in [*LABS, LAB_5]]
EXECUTED_PAGES = [ROOT / "README.md", *LAB_PAGES]
PARTS = ["Goal", "What is new", "Run it", "Walk-through", "Break it", "Questions", "Reference", "Measured"]
PARTS += ["Further reading"]

each_page = pytest.mark.parametrize("page", PAGES, ids=name)
each_executed_page = pytest.mark.parametrize("page", EXECUTED_PAGES, ids=name)
each_lab_page = pytest.mark.parametrize("page", LAB_PAGES, ids=name)


def glossary() -> dict[str, str]:
    """Entries by term in lower case. An entry is a list item or a table row that starts with the term in bold."""
    entries = re.findall(r"^(?:[-*]|\|) *\*\*(.+?)\*\*(.*(?:\n +\S.*)*)", (ROOT / "docs/glossary.md").read_text(), re.M)
    return {re.sub(r"\[|\]\(.*", "", term).lower(): term + rest for term, rest in entries}


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


@each_page
def test_tests_that_a_page_names_exist(page: Path) -> None:
    code = "".join(path.read_text() for path in files("*test_*.py"))
    assert [test for test in re.findall(r"`(test_\w+)`", page.read_text()) if f"def {test}(" not in code] == []


@each_executed_page
def test_console_blocks_print_what_the_page_shows(page: Path, tmp_path: Path, installed: None) -> None:
    found = differences(page, console_blocks(page, slow=False), tmp_path)
    assert found == [], "\n".join(found)


@each_executed_page
def test_code_on_a_page_is_an_excerpt_of_a_file(page: Path) -> None:
    folder = "." if page.parent == ROOT else page.parent.name
    texts = [path.read_text(errors="ignore") for path in files(folder) if path.suffix != ".md"]
    excerpts = blocks(page.read_text(), "python", "dockerfile", "bash", "toml", "yaml", "js")
    assert [block for block in excerpts if not any(is_excerpt(block, text) for text in texts)] == []


@each_lab_page
def test_lab_page_has_the_nine_parts_and_an_answer_to_every_question(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.+)$", prose(text), re.MULTILINE) == PARTS
    part = text.split("\n## Questions\n")[1].split("\n## ")[0]
    questions = re.sub(r"<details>.*?</details>", "", part, flags=re.DOTALL)
    assert len(re.findall(r"^\d+\. ", questions, re.MULTILINE)) == part.count("<details>") >= 2


@each_lab_page
def test_new_terms_are_in_the_glossary_and_every_entry_has_a_link(page: Path) -> None:
    """The terms in italics that the part "What is new" introduces."""
    part = prose(page.read_text()).partition("## What is new\n")[2].split("\n## ")[0]
    italics = re.findall(r"(?<![*\w])\*([^*\s](?:[^*]*[^*\s])?)\*(?![*\w])", part)
    terms = {" ".join(term.lower().split()) for term in italics}
    assert terms
    assert terms - glossary().keys() == set()
    assert [term for term, entry in glossary().items() if "](" not in entry] == []
