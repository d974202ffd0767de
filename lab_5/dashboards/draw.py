"""Draws the panels of the dashboard with matplotlib, for readers without Grafana:
`.venv/bin/python -m dashboards.draw http://127.0.0.1:9091 SECONDS FILE.png` draws the last SECONDS of a Prometheus.
"""

import re
import sys
import time
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, PercentFormatter, ScalarFormatter

from .live import fetch, filled
from .panels import ROWS, Panel

LABELS = {"reqps": "requests/s", "ops": "1/s", "s": "seconds"}
FORMATTERS: dict[str, Formatter] = {"percentunit": PercentFormatter(1), "bytes": EngFormatter("B")}
STYLE: dict[Any, Any] = {"font.size": 8, "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False}


def filled_legend(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)


def draw_panel(axes: Axes, panel: Panel, url: str, start: float, seconds: float) -> None:
    for legend, expr in panel.queries.items():
        found = fetch(url, "query_range", query=filled(expr, "15s"), start=start, end=start + seconds, step=1)
        for item in found:
            values = np.array(item["values"], dtype=float)
            axes.plot(values[:, 0] - start, values[:, 1], label=filled_legend(legend, item["metric"]), linewidth=1.2)
    axes.set(xlim=(0, seconds), ylim=(0, 1.3 * max(axes.get_ylim()[1], 0.001)), ylabel=LABELS.get(panel.unit, ""))
    axes.yaxis.set_major_formatter(FORMATTERS.get(panel.unit, ScalarFormatter()))
    axes.legend(loc="upper left", fontsize=7, ncols=4)


def main(url: str, seconds: float, file: str) -> None:
    start = time.time() - seconds
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 2.2 * len(ROWS)), layout="constrained")
        for part, (title, panels) in zip(
            figure.subfigures(len(ROWS), 1, squeeze=False)[:, 0], ROWS.items(), strict=True
        ):
            part.suptitle(title, x=0.01, ha="left", fontweight="bold")
            for axes, panel in zip(part.subplots(1, len(panels)), panels, strict=True):
                axes.set_title(panel.title, fontsize=9)
                draw_panel(axes, panel, url, start, seconds)
        figure.supxlabel("time, seconds")
        figure.savefig(file, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m dashboards.draw URL_OF_PROMETHEUS SECONDS FILE.png")
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
