"""load.js sends what its settings request, counts the responses, and fails when it must."""

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

import pytest

from bench.measure import K6_RUN, THRESHOLD_FAILED, measure
from services import HERE, free_port

STATUSES = [200, 422, 429, 500, 503, 404, 0]


class Stub(BaseHTTPRequestHandler):
    """Returns each status in the same number of responses, after the first one, which is that of setup(). 0: none."""

    protocol_version = "HTTP/1.1"
    numbers = count(-1)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        number = next(self.numbers)
        status = STATUSES[number % len(STATUSES)] if number >= 0 else 200
        if not status:
            self.close_connection = True
            return
        body = b'{"predictions": [1.5]}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[str]:
    with ThreadingHTTPServer(("localhost", 0), Stub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def k6(**variables: str) -> subprocess.CompletedProcess[str]:
    pairs = [f"--env={name}={value}" for name, value in variables.items()]
    command = [*K6_RUN, "--quiet", *pairs, str(HERE / "load.js")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("workload", "rate"),
    [({"VUS": "4"}, 0.95), ({"RATE": "151"}, 0), ({"RATE": "151"}, 0.95), ({"RATE": "151"}, 1)],
    ids=str,
)
def test_hit_ratio_is_the_requested_one_to_one_request(url: str, workload: dict[str, str], rate: float) -> None:
    run = measure(url, {**workload, "CACHE_RATE": str(rate), "DURATION": "1s"}, quiet=True)
    requests = run["responses"]["200"]
    assert requests == sum(run["responses"].values()) >= 50
    assert requests == run["cache_hits"] + run["cache_misses"]
    assert abs(run["cache_hits"] - rate * requests) < 1


def test_steady_state_is_the_last_80_percent_of_the_run(url: str) -> None:
    run = measure(url, {"RATE": "100", "DURATION": "2s"}, quiet=True)
    assert abs(run["requests_per_second"] - 100) <= 3  # 160 requests, and at most 4 were sent late
    assert abs(sum(run["responses"].values()) - 200) <= 1


@pytest.mark.parametrize("share", ["0.03", "0.5"])
def test_invalid_requests_get_status_422_do_not_change_the_hit_ratio_and_fail_the_run(url: str, share: str) -> None:
    run = measure(url, {"RATE": "100", "INVALID_RATE": share, "DURATION": "2s"}, quiet=True)
    total = sum(run["responses"].values())
    assert run["responses"]["200"] + run["responses"]["422"] == total
    assert abs(run["responses"]["422"] - float(share) * total) < 1
    assert abs(run["cache_hits"] - 0.5 * run["responses"]["200"]) < 1
    assert not run["thresholds_passed"]


def test_responses_are_counted_by_status(stub: str) -> None:
    run = measure(stub, {"RATE": "140", "DURATION": "1s", "CACHE_RATE": "0"}, quiet=True)
    counts, each = run["responses"], run["responses"]["200"]
    assert each >= 19
    assert {name: round(number / each) for name, number in counts.items()} == {
        **{"200": 1, "422": 1, "429": 1, "5xx": 2, "none": 1, "other": 1}
    }
    assert not run["thresholds_passed"]


def test_run_with_few_requests_fails(url: str) -> None:
    run = k6(URL=url, RATE="10", DURATION="1s")
    assert run.returncode == THRESHOLD_FAILED
    assert "http_reqs{phase:steady,status:200}" in run.stderr


def test_service_that_does_not_respond_ends_the_run() -> None:
    run = k6(URL=f"http://127.0.0.1:{free_port()}", DURATION="2s")
    assert run.returncode not in (0, THRESHOLD_FAILED)
    assert "does not predict" in run.stderr


@pytest.mark.parametrize("variables", [{"CACHE_RATE": "half"}, {"INVALID_RATE": "-0.1"}], ids=str)
def test_wrong_share_is_reported_before_the_first_request(variables: dict[str, str]) -> None:
    run = k6(**variables)
    assert run.returncode not in (0, THRESHOLD_FAILED)
    assert f"must be from 0 to 1, not {next(iter(variables.values()))}" in run.stderr
