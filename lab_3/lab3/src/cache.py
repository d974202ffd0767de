"""A cache of answers in Redis, one entry an item, that makes no request fail, nor wait much longer than TIMEOUT.

An item is anything that pydantic writes as JSON in always the same form: a model, a list, a string. Equal items are
computed once, in one request or in several that run at the same time.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import to_json
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

Item = TypeVar("Item")
Value = TypeVar("Value")
Answer = TypeVar("Answer")
Compute = Callable[[list[Item]], Awaitable[list[Value]]]

TIMEOUT = 0.1  # seconds, for an answer of Redis
PAUSE = 2.0  # seconds that a failing Redis is left alone
TOGETHER = 1_000  # items from which on the next request begins another MGET
CONNECTIONS = 100  # to Redis at most: with fewer, one that takes nearly TIMEOUT would make requests queue
URL = re.compile(r"rediss?://([^@/?#]*@)?[^@/?#]+(/\d*)?|unix:///[^?#]+")
logger = logging.getLogger("uvicorn.error")  # the server's own log


def redis_url(url: str) -> str:
    """The URL, or ValueError. The client by itself takes more, and says what it does not take, passwords too."""
    with suppress(ValueError):
        if URL.fullmatch(url) and parse_url(url):
            return url
    raise ValueError("should be redis://[:password@]host[:port][/number], rediss:// for TLS, or unix:///path")


RedisUrl = Annotated[str, AfterValidator(redis_url)]


class Cache(Generic[Item, Value]):
    """Values of the type `value`, kept in Redis for `seconds`, under keys that begin with `prefix`; for one event loop.

    `hits` and `misses` count items; `errors` those that Redis failed to give or to take, or gave as garbage.
    """

    def __init__(self, url: str, prefix: str, value: Any, seconds: int) -> None:  # noqa: ANN401 - any annotation
        self._redis = Redis.from_url(  # its own timeouts, which in_time replaces, cost half of what storing costs
            url,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=None,
        )
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._prefix, self._seconds = prefix, seconds
        self._value: TypeAdapter[Value] = TypeAdapter(value)
        self._flights: dict[str, asyncio.Task[dict[str, Value]]] = {}  # by key: what somebody computes just now
        self._waiters: Counter[asyncio.Task[dict[str, Value]]] = Counter()
        self._reading: tuple[dict[str, None], asyncio.Task[dict[str, Value]]] | None = None  # what is to be asked next
        self._reads: set[asyncio.Task[dict[str, Value]]] = set()
        self._probe: asyncio.Task[None] | None = None  # runs while Redis is left alone
        self.hits = self.misses = self.errors = 0

    async def get(self, items: Sequence[Item], compute: Compute[Item, Value]) -> tuple[list[Value], int]:
        """A value for each item, and how many of them came from Redis; `compute` is called once, for the others.

        What `compute` raises, this raises, in every request that waits for one of its items, and nothing is stored.
        When all of these are cancelled, it is too.
        """
        keys = [f"{self._prefix}:{sha256(to_json(item)).hexdigest()}" for item in items]
        wanted = dict(zip(keys, items, strict=True))
        flights = self._join(wanted)
        try:
            found = await self._read([key for key in wanted if key not in flights])
            missing = {key: item for key, item in wanted.items() if key not in found and key not in flights}
            flights |= self._join(missing)
            mine = {key: item for key, item in missing.items() if key not in flights}
            if mine:
                flight = asyncio.create_task(self._fly(mine, compute))  # goes on when this request is cancelled
                self._flights |= dict.fromkeys(mine, flight)
                flights |= self._join(mine)
            if flights:
                await asyncio.wait(set(flights.values()))
        finally:
            self._leave(flights)
        values = found | {key: flight.result()[key] for key, flight in flights.items()}
        hits = sum(key in found for key in keys)
        self.hits += hits
        self.misses += len(keys) - hits
        return [values[key] for key in keys], hits

    async def close(self) -> None:
        for task in filter(None, (self._probe, *self._reads)):  # reads of requests that have left
            task.cancel()
        await self._redis.aclose()

    def _join(self, keys: Iterable[str]) -> dict[str, asyncio.Task[dict[str, Value]]]:
        """Those of the keys that somebody computes."""
        flights = {
            key: self._flights[key] for key in keys if key in self._flights and not self._flights[key].cancelling()
        }
        self._waiters.update(flights.values())
        return flights

    def _leave(self, flights: dict[str, asyncio.Task[dict[str, Value]]]) -> None:
        """What nobody waits for any more is not computed any more."""
        self._waiters.subtract(flights.values())
        for flight in set(flights.values()):
            if not self._waiters[flight]:
                del self._waiters[flight]
                flight.cancel()

    async def _fly(self, items: dict[str, Item], compute: Compute[Item, Value]) -> dict[str, Value]:
        try:
            values = dict(zip(items, await compute(list(items.values())), strict=True))
            await self._write(values)
            return values
        finally:
            for key in items:
                if self._flights.get(key) is asyncio.current_task():
                    del self._flights[key]

    async def _read(self, keys: list[str]) -> dict[str, Value]:
        """Requests of one turn of the event loop share an MGET."""
        if not keys:
            return {}
        if not self._reading or len(self._reading[0]) >= TOGETHER:
            together: dict[str, None] = {}
            self._reading = together, asyncio.create_task(self._read_together(together))
            self._reads.add(self._reading[1])
            self._reading[1].add_done_callback(self._reads.discard)
        self._reading[0].update(dict.fromkeys(keys))
        found = await asyncio.shield(self._reading[1])
        return {key: found[key] for key in keys if key in found}

    async def _read_together(self, keys: dict[str, None]) -> dict[str, Value]:
        if self._reading and self._reading[0] is keys:
            self._reading = None
        found: dict[str, Value] = {}
        stored = await self._ask(lambda: self._redis.mget(list(keys)), len(keys))
        for key, json in zip(keys, stored if isinstance(stored, list) else (), strict=False):  # who knows what answers
            if json is not None:
                try:
                    found[key] = self._value.validate_json(json, strict=True)
                except ValidationError:
                    self.errors += 1
        return found

    async def _write(self, values: dict[str, Value]) -> None:
        def store() -> Awaitable[list[Any]]:
            pipeline = self._redis.pipeline(transaction=False)
            for key, value in values.items():  # .set() would cost more
                pipeline.execute_command("SET", key, self._value.dump_json(value), "EX", self._seconds)
            return pipeline.execute(raise_on_error=False)

        outcomes = await self._ask(store, len(values))
        self.errors += sum(isinstance(outcome, Exception) for outcome in outcomes or ())  # Redis is full, or read-only

    async def _ask(self, question: Callable[[], Awaitable[Answer]], items: int) -> Answer | None:
        """What Redis answers, or None: it is left alone, does not answer in time or answers with an error."""
        async with self._turns:
            try:
                if not self._probe:
                    return await in_time(question())
            except Exception as error:
                if not self._probe:
                    logger.warning("Redis fails; going on without it: %s: %s", type(error).__name__, error)
                    self._probe = asyncio.create_task(self._wait_for_it())
            self.errors += items
            return None

    async def _wait_for_it(self) -> None:
        while self._probe:
            await asyncio.sleep(PAUSE)
            with suppress(Exception):
                await in_time(self._redis.mget([self._prefix]))  # what requests ask: PING may be all that works
                self._probe = None
        logger.warning("Redis answers again")


async def in_time(answer: Awaitable[Answer]) -> Answer:
    """The answer, or TimeoutError. It waits in ten parts: when this process is late itself, Redis is not to blame."""
    task = asyncio.ensure_future(answer)
    try:
        for _ in range(10):
            if (await asyncio.wait({task}, timeout=TIMEOUT / 10))[0]:
                return task.result()
        raise TimeoutError(f"no answer in {TIMEOUT} s")
    finally:
        task.cancel()
