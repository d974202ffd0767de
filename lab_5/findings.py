"""Findings.md and images/, from results/ and findings.md.in: `.venv/bin/python findings.py`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pages import lab_5, lab_5_pictures
from report import Picture, Results, draw, fill, results

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    folder: Path
    values: Callable[[Results], dict[str, str]]
    pictures: list[Picture]

    def results(self) -> Results:
        return results(self.folder / "results")

    def text(self, those: Results) -> str:
        return fill((self.folder / "findings.md.in").read_text(), self.values(those))


PAGES = [Page(HERE, lab_5.values, lab_5_pictures.PICTURES)]


def main() -> None:
    for page in PAGES:
        those = page.results()
        try:
            text = page.text(those)
        except (KeyError, ValueError) as error:
            sys.exit(f"{page.folder.name}: {error}; python -m bench.experiments makes its runs anew")
        (page.folder / "Findings.md").write_text(text)
        draw(page.pictures, those, page.folder / "images")


if __name__ == "__main__":
    main()
