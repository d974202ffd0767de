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
PERCENTILES = {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms"}
Run = dict[str, Any]


def derived(run: Run) -> Run:
    """The run with its settings, and with values that follow from it: NaN for what the service did not measure."""
    settings, service = {"CACHE": "yes", "MAX_BATCH": "1", "INVALID_RATE": "0"} | run["settings"], run["service"]
    requests, hits, lookups = sum(run["responses"].values()), run["cache_hits"], run["cache_hits"] + run["cache_misses"]
    workload = f"open, RATE={settings['RATE']}" if "RATE" in settings else f"closed, VUS={settings['VUS']}"
    configuration = "no cache" if settings["CACHE"] == "no" else f"hit ratio {settings['CACHE_RATE']}"
    cpu = service.get("process_cpu_seconds_total", np.nan)  # macOS has no such metric
    calls = service.get("model_inference_duration_seconds_count", 0)
    calls = calls if calls > requests / 100 else np.nan  # at a hit ratio of 1 only the items of setup() reach the model
    return {
        **(settings | run),
        "workload": f"open, {settings['CAPACITY']} x capacity" if "CAPACITY" in settings else workload,
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


def middle(runs: list[Run], name: str) -> float:
    return float(median(run[name] for run in runs))


def spread(values: list[float], form: str) -> str:
    """The median, and the lowest to the highest value. Empty if a value is NaN."""
    if np.isnan(values).any():
        return ""
    low, mid, high = (f"{value:{form}}" for value in (min(values), median(values), max(values)))
    return mid if low == high else f"{mid} ({low} to {high})"


def gains(runs: list[Run]) -> tuple[list[float], Any]:
    """The hit ratios, and for each of them and each round the throughput as a multiple of that without the cache."""
    groups = {
        key: [run["requests_per_second"] for run in group] for key, group in by(runs, "CACHE", "CACHE_RATE").items()
    }
    plain = groups.pop("no, 0")
    return [float(key.split()[1]) for key in groups], np.array(list(groups.values())) / plain


def break_even(runs: list[Run]) -> str:
    """The hit ratio at which the throughput equals that without the cache, interpolated; 1 if there is none below 1."""
    ratios, rounds = gains(runs)
    return spread([float(np.interp(1, np.maximum.accumulate(gain), ratios)) for gain in rounds.T], ".2f")


def bars(groups: dict[str, list[Run]], names: dict[str, str], label: str, scale: str = "linear") -> None:
    plt.figure(figsize=(8, 0.8 + 0.4 * len(groups)))
    positions, height = np.arange(len(groups)), 0.8 / len(names)
    for offset, (name, key) in enumerate(names.items()):
        plt.barh(positions + offset * height, [middle(runs, key) for runs in groups.values()], height, label=name)
    plt.yticks(positions + (0.8 - height) / 2, list(groups))
    plt.gca().invert_yaxis()
    plt.xscale(scale)
    plt.gca().xaxis.set_major_formatter("{x:g}")
    plt.xlabel(label)
    if len(names) > 1:
        plt.legend(bbox_to_anchor=(1, 1), loc="upper left")


def plot_break_even(runs: list[Run]) -> None:
    plt.figure(figsize=(7, 3.6))
    for group in by(runs, "MODEL_MS").values():
        ratios, rounds = gains(group)
        inference_ms = middle(by(group, "CACHE")["no"], "inference_ms")
        plt.plot(ratios, np.median(rounds, axis=1), "o-", label=f"model call: {inference_ms:.2g} ms")
    plt.axhline(1, color="grey", label="without the cache")
    plt.yscale("log")
    plt.xlabel("hit ratio")
    plt.ylabel("throughput / throughput without the cache")
    plt.legend()


PLOTS: dict[str, Callable[[list[Run]], None]] = {
    "hit-ratio": lambda runs: bars(by(runs, "workload", "configuration"), PERCENTILES, "latency, ms", "log"),
    "invalid-rows": lambda runs: bars(by(runs, "INVALID_RATE"), {"success rate": "success"}, "success rate, %"),
    "break-even": plot_break_even,
    "workload": lambda runs: bars(by(runs, "workload"), PERCENTILES, "latency, ms", "log"),
    "bottleneck": lambda runs: bars(by(runs, "configuration"), {"": "requests_per_second"}, "requests/s"),
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
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "by": lambda runs, *names: by(runs, *names).items(),
        "spread": lambda runs, name, form=",.0f": spread([run[name] for run in runs], form),
        "total": lambda runs, name: f"{sum({**run, **run['responses']}[name] for run in runs):,}",
        "middle": middle,
        "break_even": break_even,
    }
    return environment.get_template("Findings.md.j2").render(results, root=root)


def digest(content: str) -> str:
    """The metadata of an image has the checksum of its result, which a test compares."""
    return hashlib.sha256(content.encode()).hexdigest()


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else HERE / "results").resolve()
    target = HERE if folder == HERE / "results" else folder
    (target / "images").mkdir(parents=True, exist_ok=True)
    for name, content in measured(folder).items():
        PLOTS[name](runs_of(content))
        plt.grid(alpha=0.3)
        plt.tight_layout()
        plt.savefig(target / "images" / f"{name}.png", dpi=120, metadata={"Description": digest(content)})
        plt.close()
    (target / "Findings.md").write_text(render(folder, os.path.relpath(HERE.parent, target)))
    print(target / "Findings.md")


if __name__ == "__main__":
    main()
