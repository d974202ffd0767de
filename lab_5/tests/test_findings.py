"""Findings.md says what results/ holds, and nothing else."""

import pytest
from matplotlib import pyplot as plt
from PIL import Image

import report
from findings import PAGES, Page

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.folder.name)


@every_page
def test_the_page_is_what_the_results_make(page: Page) -> None:
    assert (page.folder / "Findings.md").read_text() == page.text(page.results()), "run findings.py"


@pytest.mark.parametrize(
    ("page", "picture"),
    [(page, picture) for page in PAGES for picture in page.pictures],
    ids=lambda each: each.folder.name if isinstance(each, Page) else report.name(each),
)
def test_a_picture_was_drawn_from_the_results(page: Page, picture: report.Picture) -> None:
    with Image.open(page.folder / "images" / f"{report.name(picture)}.png") as image:
        assert image.info["Description"] == report.digest(picture(page.results())), "run findings.py"
        assert len(image.getcolors(1 << 20) or ()) > 10
    plt.close("all")


@every_page
def test_every_result_is_named_after_its_file_and_says_where_and_how_it_was_made(page: Page) -> None:
    assert page.results()
    for name, result in page.results().items():
        assert result["name"] == name
        assert result["machine"]
        assert {"k6", "python"} < set(result["versions"])
        assert result["command"].startswith("k6 run --env URL=")


@every_page
def test_a_changed_result_changes_the_page(page: Page) -> None:
    those = page.results()
    changed = {**those, "closed-0-1": those["closed-0-1"] | {"requests_per_second": 1e6}}
    assert page.text(changed) != page.text(those)


CHANGES: dict[str, report.Result] = {"machine": {"machine": "a laptop"}, "settings": {"settings": {"DURATION": "5s"}}}


@every_page
@pytest.mark.parametrize("change", CHANGES)
def test_runs_of_another_machine_or_with_other_settings_are_not_mixed(page: Page, change: str) -> None:
    those = page.results()
    with pytest.raises(ValueError, match=r"machines|not of one kind"):
        page.text({**those, "closed-0-1": those["closed-0-1"] | CHANGES[change]})


@pytest.mark.parametrize(
    "typed", ["97 % succeed", "p99 is 12 ms", "twice, at 3.5", "from 1 to many", "in 2026", "takes 250 ms"]
)
def test_a_number_that_is_typed_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="no result holds"):
        report.fill(f"Text: {typed}.", {})


def test_names_with_digits_are_none() -> None:
    text = "lab_4 answers 200, 422, 429 and 5xx; k6 tells p99 and [this](images/p1.png): {value}"
    assert report.fill(text, {"value": "12 ms"}).endswith(": 12 ms")


def test_a_place_that_nothing_fills_is_refused() -> None:
    with pytest.raises(KeyError):
        report.fill("{nothing}", {})
