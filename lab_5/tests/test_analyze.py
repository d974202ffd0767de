"""Findings.md contains what results/ contains."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

import analyze
from bench.experiments import APP, EXPERIMENTS
from bench.measure import write
from services import HERE


def run(settings: dict[str, str], requests_per_second: float = 100) -> dict[str, Any]:
    """10 s in which no two metrics are equal."""
    rate = {"RATE": "130"} if "CAPACITY" in settings else {}
    calls = {"model_inference_duration_seconds_sum": 1.5, "model_inference_duration_seconds_count": 500}
    return {
        **{"settings": APP | settings | rate, "seconds": 10, "thresholds_passed": True, "goodput": 99},
        **{"requests_per_second": requests_per_second, "mean_ms": 20, "p50_ms": 15, "p95_ms": 30, "p99_ms": 4321},
        **{"responses": {"200": 970, "422": 30, "429": 0, "5xx": 0, "none": 0, "other": 0}},
        **{"cache_hits": 240, "cache_misses": 720, "dropped_iterations": 7},
        "service": {"process_cpu_seconds_total": 8, "model_inference_batch_size_sum": 1000, **calls},
    }


def page_of(folder: Path, *names: str) -> str:
    origin = {"machine": "a laptop", "date": "2026-11-26", "versions": "lab_4 4.1.0", "rounds": 1, "note": "A note."}
    for name in names:
        write(folder / f"{name}.json", {**origin, "runs": [run(settings) for settings in EXPERIMENTS[name]]})
    analyze.main(folder)
    return (folder / "Findings.md").read_text()


def test_page_is_what_the_results_make() -> None:
    assert (HERE / "Findings.md").read_text() == analyze.render(HERE / "results", "..") + "\n", "run analyze.py"


@pytest.mark.parametrize("name", analyze.measured(HERE / "results"))
def test_image_was_drawn_from_the_results(name: str) -> None:
    with Image.open(HERE / "images" / f"{name}.png") as image:
        content = (HERE / "results" / f"{name}.json").read_bytes()
        assert image.info["Description"] == hashlib.sha256(content).hexdigest(), "run analyze.py"


def test_all_experiments_have_a_table_and_a_plot(tmp_path: Path) -> None:
    page = page_of(tmp_path, *EXPERIMENTS)
    assert "Not measured yet." not in page
    for row in (
        "| closed, VUS=32 | 0.5 | 0.250 | 97 | 100 | 15.0 | 30.0 | 4,321.0 |",
        "| 0.03 | 970 | 30 | 0 | 0 | 97 | 15.0 | 4,321.0 |",
        "| 3 | 100 | 100 | 100 | 100 | 100 |",
        "| open, 0.8 x capacity | 130 | 100 | 99 | 20.0 | 15.0 | 4,321.0 | 2.0 | 7 |",
        "| no cache, micro-batching | 100 | 4,321.0 | 80 | 8.00 | 3.00 | 2.0 |",
    ):
        assert row in page
    assert "uses up to 80 % of one core" in page
    for name in EXPERIMENTS:
        with Image.open(tmp_path / "images" / f"{name}.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 10
        assert f"(images/{name}.png)" in page


def test_page_of_one_experiment_on_a_machine_without_cpu_time(tmp_path: Path) -> None:
    page = page_of(tmp_path, "hit-ratio")
    assert page.count("Not measured yet.") == len(EXPERIMENTS) - 1
    assert "a laptop, 2026-11-26, lab_4 4.1.0; 1 run of 10 s per row, median (lowest to highest). A note." in page
    result = json.loads((tmp_path / "hit-ratio.json").read_text())
    result["runs"] = [run(settings) | {"service": {}} for settings in EXPERIMENTS["bottleneck"]]
    write(tmp_path / "bottleneck.json", result)
    page = analyze.render(tmp_path, "..")
    assert "| hit ratio 1 | 100 | 4,321.0 |  |  |  |  |" in page
    assert "nan" not in page


@pytest.mark.parametrize("name", ["p50_ms", "p95_ms", "p99_ms"])
def test_latency_plot_has_a_point_for_each_percentile(name: str) -> None:
    analyze.plot_latencies({"a workload": [run({}), run({})]})
    points = [np.ravel(line.get_xdata())[0] for line in plt.gca().get_lines()]
    assert run({})[name] in points


@pytest.mark.parametrize(("saving", "expected"), [(0.8, "0.25"), (0.1, "none"), (-0.1, "none")])
def test_break_even_hit_ratio_is_where_the_time_per_request_is_that_without_the_cache(
    saving: float, expected: str
) -> None:
    times = {"0": 1.2, "0.25": 1.2 - saving / 4, "0.5": 1.2 - saving / 2, "1": 1.2 - saving}
    cached = [run({"VUS": "32", "CACHE_RATE": ratio}, 100 / time) for ratio, time in times.items()]
    runs = [run({"VUS": "32", "CACHE": "no", "CACHE_RATE": "0"}, 100), *cached]
    assert analyze.break_even([analyze.derived(each) for each in runs]) == expected
