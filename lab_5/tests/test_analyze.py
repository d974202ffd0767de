"""Findings.md contains what results/ contains."""

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

METRICS = [
    "process_cpu_seconds_total",
    "model_inference_duration_seconds_sum",
    "model_inference_duration_seconds_count",
]


def run(settings: dict[str, str], requests_per_second: float = 100) -> dict[str, Any]:
    rate = {"RATE": "130"} if "CAPACITY" in settings else {}
    return {
        **{"settings": APP | settings | rate, "seconds": 10, "thresholds_passed": True, "goodput": 99},
        **{"requests_per_second": requests_per_second, "mean_ms": 2, "p50_ms": 1, "p95_ms": 3, "p99_ms": 4321},
        **{"responses": {"200": 970, "422": 30, "429": 0, "5xx": 0, "none": 0, "other": 0}},
        **{"cache_hits": 485, "cache_misses": 485, "dropped_iterations": 7},
        "service": dict.fromkeys([*METRICS, "model_inference_batch_size_sum"], 500),
    }


def write_results(folder: Path, *names: str) -> None:
    origin = {"machine": "a laptop", "date": "2026-11-26", "versions": "lab_4 4.1.0", "rounds": 1, "note": "A note."}
    for name in names:
        write(folder / f"{name}.json", {**origin, "runs": [run(settings) for settings in EXPERIMENTS[name]]})


def test_page_is_what_the_results_make() -> None:
    assert (HERE / "Findings.md").read_text() == analyze.render(HERE / "results", ".."), "run analyze.py"


@pytest.mark.parametrize("name", analyze.measured(HERE / "results"))
def test_image_was_drawn_from_the_results(name: str) -> None:
    with Image.open(HERE / "images" / f"{name}.png") as image:
        assert image.info["Description"] == analyze.digest(analyze.measured(HERE / "results")[name]), "run analyze.py"


def test_experiment_without_a_result_is_not_measured_yet(tmp_path: Path) -> None:
    assert analyze.render(tmp_path, "..").count("Not measured yet.") == len(EXPERIMENTS)
    write_results(tmp_path, "workload")
    page = analyze.render(tmp_path, "..")
    assert page.count("Not measured yet.") == len(EXPERIMENTS) - 1
    assert "a laptop, 2026-11-26, lab_4 4.1.0; 1 run of 10 s" in page
    assert "A note." in page
    assert "| open, 1.3 x capacity | 130 | 100 | 99 | 2.0 | 1.0 | 4,321.0 | 0.2 | 7 |" in page


def test_all_experiments_have_a_table_and_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path, *EXPERIMENTS)
    monkeypatch.setattr("sys.argv", ["analyze.py", str(tmp_path)])
    analyze.main()
    page = (tmp_path / "Findings.md").read_text()
    assert "Not measured yet." not in page
    assert page.count("\n| --- |") == len(EXPERIMENTS)
    for name in EXPERIMENTS:
        with Image.open(tmp_path / "images" / f"{name}.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 10
        assert f"(images/{name}.png)" in page
    plt.close("all")


@pytest.mark.parametrize(("saving", "expected"), [(0.8, "0.25"), (0.1, "1.00")])
def test_break_even_hit_ratio_is_where_the_time_per_request_is_that_without_the_cache(
    saving: float, expected: str
) -> None:
    times = {"0": 1.2, "0.25": 1.2 - saving / 4, "0.5": 1.2 - saving / 2, "1": 1.2 - saving}
    cached = [run({"VUS": "32", "CACHE_RATE": ratio}, 100 / time) for ratio, time in times.items()]
    runs = [run({"VUS": "32", "CACHE": "no", "CACHE_RATE": "0"}, 100), *cached]
    assert analyze.break_even([analyze.derived(each) for each in runs]) == expected


def test_value_that_the_service_does_not_measure_is_empty() -> None:
    without = analyze.derived(run({"VUS": "1", "CACHE_RATE": "1"}) | {"service": {}})
    assert np.isnan([without["cpu_percent"], without["inference_ms"]]).all()
    assert analyze.spread([without["cpu_ms"]], ".0f") == ""
    assert analyze.spread([3, 1, 2], ".0f") == "2 (1 to 3)"


def test_result_has_one_line_per_run(tmp_path: Path) -> None:
    write_results(tmp_path, "hit-ratio")
    text = (tmp_path / "hit-ratio.json").read_text()
    assert len(json.loads(text)["runs"]) == len(EXPERIMENTS["hit-ratio"])
    assert len(text.splitlines()) == len(EXPERIMENTS["hit-ratio"]) + 9
