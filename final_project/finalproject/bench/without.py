"""The service without one of its techniques, named by the environment variable WITHOUT. For bench.techniques."""

import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute

from finalproject import cache, fair_queue, fast_route


class Direct:
    """One call of Redis per request."""

    def __init__(self, call: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        self._call = call

    async def __call__(self, items: dict[str, Any]) -> Any:  # noqa: ANN401
        return await self._call(items)


technique = os.environ.get("WITHOUT", "")
if technique == "coalescing":
    cache.Coalesced = Direct  # type: ignore[assignment, misc]
if technique == "fast_route":
    fast_route.FastRoute.handle = APIRoute.handle  # type: ignore[method-assign]
if technique == "similar_length":
    fair_queue.MAX_LENGTH_DIFFERENCE = 512
    fair_queue.sorted = lambda texts, key: list(texts)  # type: ignore[attr-defined]

from finalproject.main import app  # noqa: E402, F401 - after the changes

if technique == "gc_settings":
    gc.set_threshold(700, 10, 10)  # Python's default
    gc.unfreeze()
