"""Findings.md and images/ of this lab and of the final project, from their results/ and findings.md.in:
`.venv/bin/python findings.py`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pages import final_project, final_project_pictures, lab_5, lab_5_pictures
from report import Picture, Results, draw, fill, results

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    folder: Path
    values: Callable[[Results], dict[str, str]]
    pictures: list[Picture]
    benches: tuple[str, ...]

    def results(self) -> Results:
        return results(self.folder / "results")

    def text(self, those: Results) -> str:
        return fill((self.folder / "findings.md.in").read_text(), self.values(those))


PAGES = [
    Page(HERE, lab_5.values, lab_5_pictures.PICTURES, ("bench.experiments",)),
    Page(
        HERE.parent / "final_project",
        final_project.values,
        final_project_pictures.PICTURES,
        ("bench.experiments", "bench.cluster", "bench.soak"),
    ),
]


def main() -> None:
    for page in PAGES:
        those = page.results()
        try:
            text = page.text(those)
        except (KeyError, ValueError) as error:
            sys.exit(f"{page.folder.name}: {error}; python -m {', '.join(page.benches)} make its runs anew")
        (page.folder / "Findings.md").write_text(text)
        draw(page.pictures, those, page.folder / "images")


if __name__ == "__main__":
    main()
