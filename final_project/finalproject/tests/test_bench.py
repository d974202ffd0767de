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


def test_samples_of_k6_are_summarized_by_their_time(tmp_path: Path) -> None:
    """Milliseconds: the end of each request, and its duration. The run starts at 1,000 ms."""
    (tmp_path / "samples.csv").write_text(SAMPLES)
    samples = k6.read(tmp_path / "samples.csv")
    assert samples.summary(1, 2) == {  # from 2,000 to 3,000 ms
        "sent_per_second": 6,
        "goodput": 2,  # the third response with status 200 comes later
        "p50_ms": pytest.approx(300),
        "p99_ms": pytest.approx(1280),
        "p99_429_ms": pytest.approx(10),
        "counts": {"200": 3, "429": 1, "503": 0, "none": 1, "other": 1},
        "dropped": 2,
    }
    assert (samples.summary(0, 4)["goodput"], samples.summary(3, 4)["p99_ms"]) == (1, None)
    columns = samples.columns(1, [(1.2, {"pods": 1}), (1.8, {"pods": 2}), (3.1, {"pods": 4})])
    assert columns["second"] == [0, 1, 2]
    assert (columns["200"], columns["429"]) == ([1, 2, 0], [0, 1, 0])
    assert columns["p99"] == [100, pytest.approx(298), None]
    assert columns["pods"] == [2, None, 4]


def test_tables_and_images_of_findings_are_made_from_the_results() -> None:
    page = (PROJECT.parent / "Findings.md").read_text()
    assert findings.filled(page) == page, "run .venv/bin/python -m bench.plots"
    assert {name for _, name, _ in findings.BLOCK.findall(page)} == set(findings.PAGE_TABLES)
    for name, file in findings.IMAGES.items():
        image = PROJECT.parent / f"images/{name}.png"
        assert not file.exists() or findings.digest(file).encode() in image.read_bytes(), name
    for name, _ in findings.PAGE_TABLES.values():
        file = RESULTS / f"{name}.json"
        assert not file.exists() or {"machine", "version", "http"} <= set(json.loads(file.read_text())), name
