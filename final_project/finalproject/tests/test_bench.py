"""Findings.md shows the files in results/, and the benchmarks read k6's samples as k6 writes them."""

import json
from pathlib import Path

import pytest

from bench import findings, k6
from bench.results import RESULTS
from bench.servers import PROJECT

SAMPLES = """metric_name,timestamp,metric_value,scenario,status
http_req_duration,900,50,,200
http_req_duration,1100,100,load,200
http_req_duration,2200,100,load,200
http_req_duration,2500,300,load,200
http_req_duration,2600,10,load,429
http_reqs,2600,1,load,429
http_req_duration,2700,400,load,0
http_req_duration,2800,20,load,500
http_req_duration,4200,1300,load,200
dropped_iterations,2500,2,load,
dropped_iterations,3900,1,load,
"""


@pytest.fixture
def samples(tmp_path: Path) -> k6.Samples:
    """Milliseconds: the end of each request, and its duration. The run starts at 1,000 ms."""
    file = tmp_path / "samples.csv"
    file.write_text(SAMPLES)
    return k6.read(file)


def test_summary_counts_the_requests_sent_after_the_warm_up_and_before_the_end(samples: k6.Samples) -> None:
    summary = samples.summary(1, 2)  # from 2,000 to 3,000 ms
    assert summary["counts"] == {"200": 3, "429": 1, "503": 0, "none": 1, "other": 1}
    assert summary["sent_per_second"] == 6
    assert summary["dropped"] == 2


def test_goodput_counts_only_responses_with_status_200_within_the_time(samples: k6.Samples) -> None:
    assert samples.summary(1, 2)["goodput"] == 2
    assert samples.summary(0, 4)["goodput"] == 1


def test_percentiles_are_those_of_one_status(samples: k6.Samples) -> None:
    summary = samples.summary(1, 2)
    assert summary["p50_ms"] == pytest.approx(300)
    assert summary["p99_429_ms"] == pytest.approx(10)
    assert samples.summary(3, 4)["p99_ms"] is None


def test_columns_have_responses_latency_and_probe_per_step(samples: k6.Samples) -> None:
    columns = samples.columns(1, [(1.2, {"pods": 1}), (1.8, {"pods": 2}), (3.1, {"pods": 4})])
    assert columns["second"] == [0, 1, 2]
    assert columns["200"] == [1, 2, 0]
    assert columns["429"] == [0, 1, 0]
    assert columns["p99"] == [100, pytest.approx(298), None]
    assert columns["pods"] == [2, None, 4]


def test_every_table_of_findings_is_made_from_the_results() -> None:
    page = (PROJECT.parent / "Findings.md").read_text()
    assert findings.filled(page) == page, "run .venv/bin/python -m bench.plots"
    assert {name for _, name, _ in findings.BLOCK.findall(page)} == set(findings.PAGE_TABLES)


@pytest.mark.parametrize(("name", "file"), findings.IMAGES.items())
def test_every_image_of_findings_is_drawn_from_the_results(name: str, file: Path) -> None:
    if file.exists():
        image = PROJECT.parent / f"images/{name}.png"
        assert findings.digest(file).encode() in image.read_bytes(), "run .venv/bin/python -m bench.plots"


@pytest.mark.parametrize("name", sorted({name for name, _ in findings.PAGE_TABLES.values()}))
def test_every_result_names_its_machine_and_version(name: str) -> None:
    file = RESULTS / f"{name}.json"
    if file.exists():
        assert {"machine", "version", "http"} <= set(json.loads(file.read_text()))
