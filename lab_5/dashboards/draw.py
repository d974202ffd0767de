"""Draws the panels of the dashboard with matplotlib, for readers without Grafana:
`.venv/bin/python -m dashboards.draw http://127.0.0.1:9091 SECONDS FILE.png` draws the last SECONDS of a Prometheus.
"""

import sys
import time

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import EngFormatter, PercentFormatter

from .live import fetch, filled
from .panels import PANELS

UNITS = {"reqps": "requests/s", "ops": "1/s", "s": "s", "bytes": "B", "short": ""}


def main(url: str, seconds: float, file: str) -> None:
    start = time.time() - seconds
    figure, grid = plt.subplots(-(-len(PANELS) // 3), 3, figsize=(13, 13), layout="constrained", squeeze=False)
    for axes, panel in zip(grid.flat, PANELS, strict=False):
        for legend, expr in panel.queries.items():
            query = filled(expr, "15s")
            for found in fetch(url, "query_range", query=query, start=start, end=start + seconds, step=1):
                label = legend
                for name, value in found["metric"].items():
                    label = label.replace(f"{{{{{name}}}}}", value)
                times, values = np.array(found["values"], dtype=float).T
                axes.plot(times - start, values, label=label)
        least = {"percentunit": 0.05, "s": 0.001}.get(panel.unit, 1)
        axes.set(title=panel.title, xlim=(0, seconds), ylim=(0, 1.3 * max(axes.get_ylim()[1], least)))
        is_share = panel.unit == "percentunit"
        axes.yaxis.set_major_formatter(PercentFormatter(1) if is_share else EngFormatter(UNITS[panel.unit]))
        axes.legend(loc="upper left", fontsize=7, ncols=3)
    for axes in grid.flat[len(PANELS) :]:
        axes.remove()
    figure.supxlabel("time, seconds")
    figure.savefig(file, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m dashboards.draw URL_OF_PROMETHEUS SECONDS FILE.png")
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
