"""What a run is like as time goes on: steps hold what ended in them, and a soak is felt and lost by nobody."""

import time
from pathlib import Path

import numpy as np
import pytest

from bench.run import runner
from bench.soak import soak
from pages.over_time import failures, hits, planned, slope, when
from report import Result
from services import FINAL
from timeline import Timeline


def test_each_step_has_the_answers_that_ended_in_it() -> None:
    requests = [(100.0, 5.0, "200"), (101.9, 7.0, "200"), (102.0, 9.0, "429"), (104.5, 1.0, "200"), (106.1, 1.0, "0")]
    told = Timeline(dict, 2).of(requests)
    assert told == {
        "second": [0, 2, 4],
        "0": [0, 0, 0],
        "200": [2, 0, 1],
        "429": [0, 1, 0],
        "p99": [6.98, None, 1.0],
    }, "what is no whole step is not there"


def test_a_look_is_taken_twice_in_a_step() -> None:
    with Timeline(lambda: {"at": time.time()}, 0.4) as timeline:
        time.sleep(1)
    assert 2 <= len(timeline.seen) <= 5
    assert [look["at"] for _, look in timeline.seen] == pytest.approx([at for at, _ in timeline.seen], abs=0.1)


def test_each_step_has_the_last_look_in_it() -> None:
    timeline = Timeline(dict, 1)
    timeline.seen[:] = [(100 + at, {"at": at}) for at in (0.3, 0.8, 1.3, 1.8)]
    assert timeline.of([(at, 1.0, "200") for at in (100.0, 100.9, 102.1)])["at"] == [0.8, 1.8]


def test_a_look_that_finds_nothing_is_missing() -> None:
    timeline = Timeline(dict, 1)
    timeline.seen[:] = [(100.5, {"at": 1.0}), (101.5, {}), (102.5, {"at": 3.0})]
    assert timeline.of([(100.0, 1.0, "200"), (103.1, 1.0, "200")])["at"] == [1, None, 3]


def run(**columns: list[float | None]) -> Result:
    count = len(next(iter(columns.values())))
    return {
        "name": "run",
        "settings": {"DURATION": "80s", "RATE": "95"},
        "timeline": {"second": [n * 10 for n in range(count)], **columns},
    }


def test_what_a_step_asks_for_is_what_load_js_asks_for() -> None:
    assert planned(run(ready=[0] * 8)).tolist() == [10, 95, 95, 95, 10, 10, 10, 10]


def test_failures_are_all_but_the_200s() -> None:
    columns: dict[str, list[float | None]] = {"0": [1, 0], "200": [5, 5], "429": [0, 2], "503": [1, 0], "p99": [1, 1]}
    assert failures(run(**columns)).tolist() == [2, 2]


def test_a_change_is_timed_from_what_brought_it() -> None:
    assert when(run(ready=[1, 1, 1, 4, 4, 4, 1, 1]), "ready", 4, after=10) == 30
    assert when(run(ready=[1, 1, 1, 4, 4, 4, 1, 1]), "ready", 1, after=40) == 30
    with pytest.raises(ValueError, match="never 3"):
        when(run(ready=[1, 1, 1, 4, 4, 4, 1, 1]), "ready", 3, after=0)


def test_memory_is_followed_over_the_last_two_thirds() -> None:
    memory: list[float | None] = [9e6, 1e6, 100e6, 101e6, 102e6, None, 104e6, 105e6]
    grown = run(process_resident_memory_bytes=memory)
    assert round(slope({**grown, "settings": {"DURATION": "60s"}}), 3) == 360


def test_hits_are_those_of_each_step() -> None:
    told = hits(run(cache_hits_total=[10, 10, 30], cache_misses_total=[0, 10, 10]))
    assert np.isnan(told[0])
    assert told[1:].tolist() == [0, 100]


def test_a_soak_feels_redis_go_and_loses_no_request(tmp_path: Path) -> None:
    (tmp_path / "load.js").write_bytes((FINAL.parent / "load.js").read_bytes())
    found = soak(runner(tmp_path), tmp_path, seconds=30, every=12, away=4, step=1)
    assert set(found["answers"]) == {"200"}
    assert (found["dropped"], found["thresholds_held"]) == (0, True)
    gone, there = np.flatnonzero(hits(found) == 0), np.flatnonzero(hits(found) > 30)
    assert there.min() < gone.max(), "Redis was there, and then gone"
    assert gone.min() < there.max(), "and there again"
    assert failures(found).sum() == 0
    assert min(filter(None, found["timeline"]["process_resident_memory_bytes"])) > 50e6
