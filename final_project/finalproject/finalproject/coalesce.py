"""Request coalescing: requests that need Redis in the same iteration of the event loop share one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")
Reply = TypeVar("Reply")
MAX_ITEMS = 1_000  # more go into a further call, because Redis serves nobody else during a call


class Coalesced(Generic[Value, Reply]):
    """`await coalesced(items)` is `await call(items)`, with the items of other requests in the same call."""

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
            if items is self._items:
                self._next = None
            return await self._call(items)
