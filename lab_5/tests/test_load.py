"""load.js on k6, against lab_4's service: what was asked for is what was sent, and what is wrong fails."""

import csv
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from measure import K6, NOT_HELD, Result, measure
from services import HERE, LAB_4, free_port, service, valkey

QUIET = {"P95": "20000", "P99": "20000"}  # a machine may be slow


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a service, and a folder with its load.js."""
    folder = tmp_path_factory.mktemp("lab_4")
    (folder / "load.js").write_bytes((HERE / "load.js").read_bytes())
    with valkey(folder) as redis, service(LAB_4, "src.main:app", folder / "log", LAB_4, REDIS_URL=redis) as url:
        yield url, folder


def measured(at: tuple[str, Path], **settings: str) -> Result:
    url, folder = at
    return measure(folder, "run", {"URL": url, **settings})


def run(where: Path, /, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    words = [word for pair in settings.items() for word in ("--env", "=".join(pair))]
    command = [str(K6), "run", "--quiet", "--address", "127.0.0.1:0", *options, *words, str(where / "load.js")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def samples(at: tuple[str, Path], **settings: str) -> list[dict[str, str]]:
    url, folder = at
    run(folder, "--out", f"csv={folder / 'samples.csv'}", URL=url, **settings)
    with (folder / "samples.csv").open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["scenario"] == "load"]


@pytest.mark.parametrize("shape", ["closed", "open", "step"])
@pytest.mark.parametrize("rate", [0, 0.5, 0.95, 1])
def test_items_are_cached_and_new_as_asked_for_to_one_request(at: tuple[str, Path], shape: str, rate: float) -> None:
    given = {"SHAPE": shape, "CACHE_RATE": str(rate), "DURATION": "2s", "USERS": "4", "RATE": "151"}
    found = measured(at, **given, **QUIET)
    requests = sum(found["sent"].values())
    assert requests >= 50
    assert abs(found["sent"].get("cached", 0) - rate * requests) < 1
    assert found["answers"] == {"200": requests}, "a valid row is refused by nobody"
    assert (found["hits"], found["misses"]) == (found["sent"].get("cached", 0), found["sent"].get("new", 0))
    assert found["thresholds_held"]
    assert json.loads((at[1] / "results" / "run.json").read_text()) == found


def test_a_step_is_a_tenth_of_the_rate_but_for_three_eighths_of_the_time(at: tuple[str, Path]) -> None:
    found = samples(at, SHAPE="step", RATE="50", DURATION="16s")
    times = [int(row["timestamp"]) for row in found if (row["metric_name"], row["status"]) == ("http_reqs", "200")]
    assert abs(len(times) - (2 * 5 + 6 * 50 + 8 * 5)) <= 3
    count = Counter(time - min(times) for time in times)
    whole, tenth = (sum(count[second] for second in seconds) for seconds in (range(3, 7), range(11, 15)))
    assert whole > 5 * tenth
    assert count[0] < 20


@pytest.mark.parametrize(("connections", "most"), [("kept", 4), ("new", 1e9)])
def test_a_connection_is_for_a_user_or_for_a_request(at: tuple[str, Path], connections: str, most: float) -> None:
    of = samples(at, USERS="4", DURATION="2s", CONNECTIONS=connections)
    requests = sum(row["metric_name"] == "http_reqs" for row in of)
    opened = sum(float(row["metric_value"]) > 0 for row in of if row["metric_name"] == "http_req_connecting")
    assert requests > 20
    assert opened == min(most, requests)


def test_the_service_counts_what_k6_counts(at: tuple[str, Path]) -> None:
    found = measured(at, DURATION="3s", INVALID_RATE="0.1")
    counted, known = found["service"], 100  # they are asked for at first, in a request of their own
    assert counted["http_requests_total"] == sum(found["answers"].values()) + 1 + 1  # the scrape before
    assert counted["cache_hits_total"] + counted["cache_misses_total"] == found["hits"] + found["misses"] + known
    assert counted["model_inference_batch_size_sum"] <= counted["cache_misses_total"]


def test_invalid_rows_are_as_many_as_asked_for_and_fail_the_run(at: tuple[str, Path]) -> None:
    found = measured(at, SHAPE="open", CACHE_RATE="0.5", INVALID_RATE="0.03", DURATION="4s", RATE="100")
    sent = found["sent"]
    assert abs(sent["invalid"] - 0.03 * (sent["invalid"] + sent["new"])) < 1
    assert found["answers"] == {"200": sent["cached"] + sent["new"], "422": sent["invalid"]}
    assert not found["thresholds_held"]


def test_two_runs_have_no_new_item_in_common(at: tuple[str, Path]) -> None:
    for _ in range(2):
        found = measured(at, CACHE_RATE="0", DURATION="2s", USERS="4", **QUIET)
        assert found["hits"] == 0
        assert found["misses"] == found["sent"]["new"]


def test_a_slow_service_fails_the_run(at: tuple[str, Path]) -> None:
    assert not measured(at, DURATION="2s", P99="1")["thresholds_held"]


def test_a_service_that_does_not_answer_fails_the_run() -> None:
    done = run(HERE, URL=f"http://127.0.0.1:{free_port()}", DURATION="2s")
    assert done.returncode not in (0, NOT_HELD)
    assert "does not predict" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CACHE_RATE", "1.1"),
        ("CACHE_RATE", "half"),
        ("INVALID_RATE", "-0.1"),
        ("SHAPE", "round"),
        ("DURATION", "7"),
        ("DURATION", "0s"),
        ("URL", "127.0.0.1:8000"),
        ("URL", "http://127.0.0.1:8000/predict"),
        ("USERS", "0"),
        ("USERS", "1.5"),
        ("RATE", "none"),
        ("CONNECTIONS", "old"),
        ("P99", "0"),
    ],
)
def test_a_wrong_setting_stops_the_run_before_the_first_request_with_one_line(name: str, value: str) -> None:
    done = run(HERE, **{name: value})
    assert done.returncode not in (0, NOT_HELD)
    assert len(done.stderr.splitlines()) == 1
    assert f"{name} is " in done.stderr
    assert value in done.stderr
