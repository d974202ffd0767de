"""Cache-aside with one entry per item: read the values from Redis, compute the missing ones, write them back.

The cache fails open: whatever happens to Redis, a request gets its values. While the circuit breaker is open, no
request calls Redis, and a background task probes it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Any, Generic, TypeVar

from pydantic_core import to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError

from . import metrics

Value = TypeVar("Value")
Reply = TypeVar("Reply")
TIMEOUT_SECONDS = 0.1  # for a reply; _call adds 0.5 s for 10,000 items
CONNECT_TIMEOUT_SECONDS = 3
PROBE_INTERVAL_SECONDS = 2
MAX_ITEMS = 10_000  # of coalesced requests in one call
MAX_CONNECTIONS = 2  # for one call that reads, and one that writes
logger = logging.getLogger("uvicorn.error")  # the server's log


class Cache:
    """Values in Redis, each under `prefix` and the SHA-256 of its text. A value is JSON that matches `valid_value`."""

    def __init__(self, url: str, prefix: str, ttl_seconds: int, valid_value: re.Pattern[bytes]) -> None:
        # Without the client's timeout of replies and its retries. RESP2, no driver_info: fewer round trips to connect.
        self._redis = Redis.from_url(url, protocol=2, driver_info=None, socket_timeout=None, retry=None)
        self._address = url.partition("//")[2].rpartition("@")[2]  # without the password
        self._prefix, self._ttl_seconds, self._valid = prefix, ttl_seconds, valid_value.fullmatch
        self._read = Coalesced(self._mget_valid)
        self._write = Coalesced(self._set)
        self.circuit_closed, self._failed = False, asyncio.Event()  # the circuit starts open

    async def get(
        self, texts: Sequence[str], compute: Callable[[list[str]], Awaitable[list[bytes]]]
    ) -> tuple[list[bytes], int]:
        """The value of each text, and the number of hits. Equal texts are computed once."""
        keys = [f"{self._prefix}:{sha256(to_json(text)).hexdigest()}" for text in texts]
        values = await self._read(dict.fromkeys(keys)) if keys else {}
        hits = sum(key in values for key in keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in values}
        if missing:
            computed = dict(zip(missing, await compute(list(missing.values())), strict=True))
            await self._write(computed)
            values |= computed
        metrics.cache_hits.inc(hits)
        metrics.cache_misses.inc(len(keys) - hits)
        return [values[key] for key in keys], hits

    async def _mget_valid(self, keys: dict[str, None]) -> dict[str, bytes]:
        replies = await self._call(lambda: self._mget(list(keys)), len(keys)) or {}
        return {key: value for key, value in replies.items() if isinstance(value, bytes) and self._valid(value)}

    async def _mget(self, keys: list[str]) -> dict[str, Any]:
        return dict(zip(keys, await self._redis.mget(keys), strict=True))

    async def _set(self, values: dict[str, bytes]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.execute_command("SET", key, value, "EX", self._ttl_seconds)  # pipeline.set() takes twice as long
        await self._call(pipeline.execute, len(values))  # raises the first error in the results: full, or read-only

    async def _call(self, command: Callable[[], Awaitable[Reply]], items: int) -> Reply | None:
        """Redis's reply, or None if the circuit is open or the call fails. A failure opens the circuit."""
        try:
            return await within_timeout(command(), TIMEOUT_SECONDS + items / 20_000) if self.circuit_closed else None
        except Exception as error:  # RedisError or OSError; others if the server is not Redis
            self._open(error)
            return None

    def _open(self, error: Exception) -> None:
        metrics.cache_errors.inc()
        self.circuit_closed = False
        if not self._failed.is_set():  # one log line per outage
            self._failed.set()
            text, bug = f"{type(error).__name__} {str(error)!r:.300}", not isinstance(error, RedisError | OSError)
            logger.warning("Redis at %s failed: %s; serving without the cache", self._address, text, exc_info=bug)

    async def run(self) -> None:
        """The background task of the circuit breaker: closes the circuit when Redis works. It runs until cancelled."""
        async with self._redis:
            while True:
                try:
                    await self._probe()
                except Exception as error:  # as in _call
                    self._open(error)
                else:
                    if self._failed.is_set():
                        logger.warning("Redis at %s is available; serving with the cache", self._address)
                    self.circuit_closed = True
                    self._failed.clear()
                    await self._failed.wait()
                await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def _probe(self) -> None:
        """Connects for all requests, then writes and reads. Raises the error of the step that fails."""
        key = f"{self._prefix}:probe"
        await self._redis.connection_pool.disconnect()  # after a failover, the name of Redis has another address
        await within_timeout(self._mget([key]), CONNECT_TIMEOUT_SECONDS)  # if Redis is down, one attempt is enough
        calls = [self._mget([key]) for _ in range(MAX_CONNECTIONS)]  # at the same time, so each opens a connection
        await within_timeout(asyncio.gather(*calls), CONNECT_TIMEOUT_SECONDS)
        await within_timeout(self._redis.set(key, 0, px=1))
        await within_timeout(self._mget([key]))


async def within_timeout(call: Awaitable[Reply], seconds: float = TIMEOUT_SECONDS) -> Reply:
    """The result, or TimeoutError. Short waits, because a long one also counts the time of a blocked event loop."""
    task = asyncio.ensure_future(call)
    try:
        for _ in range(round(seconds / 0.01)):  # a blocked event loop must not look like a failing Redis
            if (await asyncio.wait({task}, timeout=0.01))[0]:
                return task.result()
        raise TimeoutError(f"no reply in {seconds:.1f} s")
    finally:
        task.cancel()


class Coalesced(Generic[Value, Reply]):
    """Request coalescing: while a call of Redis runs, further requests add their items to the next call."""

    def __init__(self, call: Callable[[dict[str, Value]], Awaitable[Reply]]) -> None:
        self._call, self._lock = call, asyncio.Lock()
        self._items: dict[str, Value] = {}
        self._next: asyncio.Task[Reply] | None = None  # has not started; it starts in the next iteration

    async def __call__(self, items: dict[str, Value]) -> Reply:
        if not self._next or len(self._items) + len(items) > MAX_ITEMS:
            self._items = {}
            self._next = asyncio.create_task(self._run(self._items))
        self._items |= items
        return await asyncio.shield(self._next)  # a request that is cancelled must not cancel the call of the others

    async def _run(self, items: dict[str, Value]) -> Reply:
        async with self._lock:  # meanwhile, further requests add their items
            self._next = None
            return await self._call(items)
