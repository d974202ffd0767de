"""Tables and plots of the results: `.venv/bin/python analyze.py [FOLDER]`

Reads FOLDER/NAME.json for each plot below. Writes Findings.md, from Findings.md.j2, and images/: next to the folder
results, which is the default, and into any other folder.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
DEFAULTS = {"CACHE": "yes", "MAX_BATCH": "1", "INVALID_RATE": "0", "CAPACITY": ""}
Run = dict[str, Any]


def derived(run: Run) -> Run:
    """The run with its settings, and with values that follow from it: NaN for what the service did not measure."""
    settings, service = DEFAULTS | run["settings"], run["service"]
    requests, hits, lookups = sum(run["responses"].values()), run["cache_hits"], run["cache_hits"] + run["cache_misses"]
    workload = f"open, RATE={settings['RATE']}" if "RATE" in settings else f"closed, VUS={settings['VUS']}"
    configuration = "no cache" if settings["CACHE"] == "no" else f"hit ratio {settings['CACHE_RATE']}"
    cpu = service.get("process_cpu_seconds_total", np.nan)  # macOS has no such metric
    calls = service.get("model_inference_duration_seconds_count", 0)
    calls = calls if calls > requests / 100 else np.nan  # at a hit ratio of 1 only the items of setup() reach the model
    return {
        **(settings | run),
        "workload": f"open, {settings['CAPACITY']} x capacity" if settings["CAPACITY"] else workload,
        "configuration": configuration if settings["MAX_BATCH"] == "1" else "no cache, micro-batching",
        "arrival_rate": float(settings.get("RATE", "nan")),
        "sent": requests / run["seconds"],
        "success": 100 * run["responses"]["200"] / requests,
        "hit_ratio": hits / lookups if lookups else np.nan,
        "in_flight": run["requests_per_second"] * run["mean_ms"] / 1e3,
        "cpu_percent": 100 * cpu / run["seconds"],
        "cpu_ms": 1e3 * cpu / requests,
        "inference_ms": 1e3 * service.get("model_inference_duration_seconds_sum", 0) / calls,
        "batch_size": service.get("model_inference_batch_size_sum", 0) / calls,
    }


def by(runs: list[Run], *names: str) -> dict[str, list[Run]]:
    """The runs with equal values of these settings, in the order of the runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(", ".join(run[name] for name in names), []).append(run)
    return groups


def median_of(runs: list[Run], name: str) -> float:
    return float(median(run[name] for run in runs))


def spread(values: list[float], form: str) -> str:
    """The median, and the lowest to the highest value. Empty if a value is NaN."""
    if np.isnan(values).any():
        return ""
    low, mid, high = (f"{value:{form}}" for value in (min(values), median(values), max(values)))
    return mid if low == high else f"{mid} ({low} to {high})"


def relative_times(runs: list[Run]) -> tuple[list[float], Any]:
    """The hit ratios, and for each of them and each round the time per request, where 1 is that without the cache."""
    groups = {
        key: [run["requests_per_second"] for run in each] for key, each in by(runs, "CACHE", "CACHE_RATE").items()
    }
    plain = groups.pop("no, 0")
    return [float(key.split()[1]) for key in groups], plain / np.array(list(groups.values()))


def break_even(runs: list[Run]) -> str:
    """The hit ratio at which the time per request is 1, on a straight line through the measured ones, from 0 to 1.

    "none" if the service is slower with the cache also at a hit ratio of 1.
    """
    slopes, intercepts = np.polyfit(*relative_times(runs), 1)
    if np.any(slopes + intercepts > 1):
        return "none"
    return spread(list(np.clip((1 - intercepts) / slopes, 0, 1)), ".2f")


def plot_latencies(groups: dict[str, list[Run]]) -> None:
    plt.figure(figsize=(8, 0.8 + 0.35 * len(groups)))
    for name in ("p50", "p95", "p99"):
        plt.plot([median_of(runs, f"{name}_ms") for runs in groups.values()], list(groups), "o", label=name)
    plt.gca().invert_yaxis()
    plt.xscale("log")
    plt.gca().xaxis.set_major_formatter("{x:g}")
    plt.xlabel("latency, ms")
    plt.legend()


def plot_bars(groups: dict[str, list[Run]], name: str, label: str) -> None:
    plt.figure(figsize=(8, 0.8 + 0.35 * len(groups)))
    plt.barh(list(groups), [median_of(runs, name) for runs in groups.values()])
    plt.gca().invert_yaxis()
    plt.xlabel(label)


def plot_break_even(runs: list[Run]) -> None:
    plt.figure(figsize=(7, 3.6))
    for group in by(runs, "MODEL_MS").values():
        ratios, rounds = relative_times(group)
        inference_ms = median_of(by(group, "CACHE")["no"], "inference_ms")
        plt.plot(ratios, np.median(rounds, axis=1), "o-", label=f"model call: {inference_ms:.2g} ms")
    plt.axhline(1, color="grey", label="without the cache")
    plt.xlabel("hit ratio")
    plt.ylabel("relative time per request")
    plt.legend()


PLOTS: dict[str, Callable[[list[Run]], None]] = {
    "hit-ratio": lambda runs: plot_latencies(by(runs, "workload", "configuration")),
    "invalid-data": lambda runs: plot_bars(by(runs, "INVALID_RATE"), "success", "success rate, %"),
    "break-even": plot_break_even,
    "workload": lambda runs: plot_latencies(by(runs, "workload")),
    "bottleneck": lambda runs: plot_bars(by(runs, "configuration"), "requests_per_second", "requests/s"),
}


def measured(folder: Path) -> dict[str, str]:
    """The content of each result that exists."""
    return {name: (folder / f"{name}.json").read_text() for name in PLOTS if (folder / f"{name}.json").exists()}


def runs_of(content: str) -> list[Run]:
    return [derived(run) for run in json.loads(content)["runs"]]


def render(folder: Path, root: str) -> str:
    """The page. Its links lead to the root of the repository by the path `root`."""
    results: dict[str, Any] = dict.fromkeys((name.replace("-", "_") for name in PLOTS), None)
    for name, content in measured(folder).items():
        results[name.replace("-", "_")] = {**json.loads(content), "runs": runs_of(content)}
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "relative_time": lambda runs, index: np.median(relative_times(runs)[1][index]),
        "by": lambda runs, *names: list(by(runs, *names).items()),
        "spread": lambda runs, name, form=",.0f": spread([run[name] for run in runs], form),
        "total": lambda runs, name: f"{sum({**run, **run['responses']}[name] for run in runs):,}",
        "median": median_of,
        "break_even": break_even,
    }
    return environment.get_template("Findings.md.j2").render(results, root=root)


def main(folder: Path) -> None:
    target = HERE if folder == HERE / "results" else folder
    (target / "images").mkdir(parents=True, exist_ok=True)
    for name, content in measured(folder).items():
        PLOTS[name](runs_of(content))
        plt.grid(alpha=0.3)
        plt.tight_layout()
        checksum = hashlib.sha256(content.encode()).hexdigest()  # a test compares it with that of the result
        plt.savefig(target / "images" / f"{name}.png", dpi=120, metadata={"Description": checksum})
        plt.close()
    (target / "Findings.md").write_text(render(folder, os.path.relpath(HERE.parent, target)) + "\n")
    print(target / "Findings.md")


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else HERE / "results").resolve())
