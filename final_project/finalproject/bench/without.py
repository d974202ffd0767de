"""The service without one of its techniques, named by the environment variable WITHOUT. For bench.techniques."""

import gc
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi.routing import APIRoute

from finalproject import cache, fair_queue, fast_route, server

THRESHOLD = gc.get_threshold()  # Python's default


class Direct:
    """One call of Redis per request."""

    def __init__(self, call: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        self._call = call

    async def __call__(self, items: dict[str, Any]) -> Any:  # noqa: ANN401
        return await self._call(items)


class Unbuffered(server.OneWrite):
    def write(self, data: bytes) -> None:
        self._transport.write(data)


def in_order(texts: Iterable[Any], key: object) -> list[Any]:
    return list(texts)


CHANGES: dict[str, tuple[Any, str, Any]] = {
    "coalescing": (cache, "Coalesced", Direct),
    "fast_route": (fast_route.FastRoute, "handle", APIRoute.handle),
    "similar_length": (fair_queue, "sorted", in_order),
    "one_write": (server, "OneWrite", Unbuffered),
    "gc_settings": (gc, "freeze", lambda: gc.set_threshold(*THRESHOLD)),  # called after set_threshold
    "batches": (fair_queue, "LOOKAHEAD", 1),
    "zttp": (os, "environ", os.environ),  # nothing: bench.techniques starts this one with another parser
}
place, attribute, replacement = CHANGES[os.environ["WITHOUT"]]
assert hasattr(place, attribute) or attribute == "sorted"  # noqa: S101 - a builtin, which the module's name replaces
setattr(place, attribute, replacement)
if attribute == "sorted":
    fair_queue.MAX_LENGTH_DIFFERENCE = 512

from finalproject.main import app  # noqa: E402, F401 - after the changes
