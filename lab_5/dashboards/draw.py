"""Draws the panels of the dashboards by matplotlib, from the same queries, over some time of a Prometheus:
`.venv/bin/python -m dashboards.draw http://127.0.0.1:9090 START END [WINDOW]`, both in seconds since 1970 (`date +%s`).
WINDOW is that of the rates, four times what is between two scrapes; 20s, if it is not given.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter
from numpy.typing import NDArray

from .panels import Panel, rows
from .prometheus import Labels, filled, query_range
from .service import SERVICES, Service

IMAGES = Path(__file__).parents[1] / "images"
UNITS = {"reqps": "requests/s", "ops": "1/s", "s": "seconds", "percentunit": "", "bytes": "bytes", "short": ""}
CAPTION = "Drawn by matplotlib from the dashboard's queries over a real run of {:.0f} s, not by Grafana."


@dataclass(frozen=True)
class Time:
    """Of the Prometheus at the URL."""

    url: str
    start: float  # seconds since 1970, as the end
    end: float
    window: str

    def of(self, expr: str) -> list[tuple[Labels, NDArray[np.float64], list[float]]]:
        """Of each series its labels, the seconds since the start, and the values."""
        step = max(1.0, (self.end - self.start) / 300)
        found = query_range(self.url, filled(expr, self.window), self.start, self.end, step)
        return [(labels, np.array(times) - self.start, values) for labels, times, values in found]


def name(legend: str, labels: Labels) -> str:
    return re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), legend)


def lines(axes: Axes, panel: Panel, time: Time) -> None:
    for legend, expr in panel.queries.items():
        for labels, times, values in sorted(time.of(expr), key=lambda each: name(legend, each[0])):
            axes.plot(times, values, label=name(legend, labels), linewidth=1.2)
    axes.set_ylim(0, 1.3 * max(axes.get_ylim()[1], 0.001))  # room for the legend
    if axes.lines:
        axes.legend(loc="upper left", fontsize=7, ncols=3)
    scaled(axes, panel.unit)


def heat(axes: Axes, panel: Panel, time: Time) -> None:
    """A bucket counts what is as small as its bound, so a cell is what it has more than the bucket below."""
    ((_, expr),) = panel.queries.items()
    found = sorted((float(labels["le"]), times, values) for labels, times, values in time.of(expr))
    if not found:
        return
    cells = np.diff([of for _, _, of in found], axis=0, prepend=0)
    bounds = [f"{bound:g}" if np.isfinite(bound) else "more" for bound, _, _ in found]
    mesh = axes.pcolormesh(found[0][1], range(len(bounds)), cells, cmap="Blues", vmin=0)
    axes.set_yticks(range(len(bounds)), [f"≤ {bound}" if bound != "more" else bound for bound in bounds], fontsize=6)
    axes.grid(False)
    axes.figure.colorbar(mesh, ax=axes, label="requests/s")


def scaled(axes: Axes, unit: str) -> None:
    axis = axes.yaxis
    axes.set_ylabel(UNITS[unit])
    if unit == "percentunit":
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    elif unit == "bytes":
        axes.set_ylabel("")
        axis.set_major_formatter(EngFormatter("B"))
    elif unit == "s":
        axis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))


def places(service: Service, figure: Figure) -> Iterator[tuple[Axes, Panel]]:
    """The panels where they are on the dashboard: rows, from top to bottom, each with its title at its left."""
    wanted = rows(service)
    grid = figure.add_gridspec(len(wanted), 1)
    for place, (title, panels) in enumerate(wanted.items()):
        part = figure.add_subfigure(grid[place, 0])
        part.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        yield from zip(part.subplots(1, len(panels), squeeze=False)[0], panels, strict=True)


def draw(service: Service, time: Time, folder: Path) -> None:
    figure = Figure(figsize=(13, 2.4 * len(rows(service))), layout="constrained")
    seconds = time.end - time.start
    for axes, panel in places(service, figure):
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlim(0, seconds)
        (heat if panel.heat else lines)(axes, panel, time)
    figure.suptitle(f"{service.title}\n{CAPTION.format(seconds)} Below each panel: seconds.", fontsize=10)
    figure.savefig(folder / f"dashboard-{service.lab}.png", dpi=100, metadata={"Software": None})


def main(time: Time, folder: Path = IMAGES) -> None:
    """Draws the services that the Prometheus has seen then."""
    with mpl.rc_context({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False}):
        for service in SERVICES:
            if time.of(f'up{{job="{service.job}"}}'):
                draw(service, time, folder)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: python -m dashboards.draw URL_OF_PROMETHEUS START END [WINDOW]")
    main(Time(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), "".join(sys.argv[4:]) or "20s"))
