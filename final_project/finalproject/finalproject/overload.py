"""Overload control: load shedding, the deadline of a request, and client disconnects."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from .batcher import InferenceStopped, QueueFull
from .errors import ErrorResponse

Result = TypeVar("Result")
RETRY_AFTER = {"Retry-After": "1"}
QUEUE_FULL = JSONResponse({"detail": "The queue is full: try again later"}, 429, RETRY_AFTER)
RESPONSES: dict[type[Exception], Response] = {
    QueueFull: QUEUE_FULL,
    TimeoutError: JSONResponse({"detail": "The deadline has passed: try again later"}, 503, RETRY_AFTER),
    InferenceStopped: JSONResponse({"detail": "An inference thread died: try again later"}, 503, RETRY_AFTER),
    ClientDisconnect: Response(status_code=499),  # nobody receives it
}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": ErrorResponse, "description": "The reason"}}
OVERLOADED: dict[int | str, dict[str, Any]] = {
    429: {"model": ErrorResponse, "description": "The queue is full. Retry-After names the seconds to wait"},
    503: {"model": ErrorResponse, "description": "The deadline has passed, or an inference thread died"},
}


class LoadShedding:
    """ASGI middleware: rejects POST requests to `path` before it reads them, while `shed()` is true."""

    def __init__(self, app: ASGIApp, path: str, shed: Callable[[], bool]) -> None:
        self._app, self._path, self._shed = app, path, shed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        predict = scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST"
        await (QUEUE_FULL if predict and self._shed() else self._app)(scope, receive, send)


async def run_until(work: Awaitable[Result], receive: Receive, seconds: float) -> Result:
    """The result of `work`. Cancels it, and raises ClientDisconnect or TimeoutError, when the client disconnects or
    after `seconds`. `receive` is that of a request whose body is read: its next message is the disconnect."""
    this, disconnected = asyncio.current_task(), False

    def cancel(watcher: asyncio.Future[Any]) -> None:
        nonlocal disconnected
        if not watcher.cancelled() and this:
            disconnected = this.cancel()

    watcher = asyncio.ensure_future(receive())
    watcher.add_done_callback(cancel)
    try:
        async with asyncio.timeout(seconds):
            return await work
    except asyncio.CancelledError:
        if disconnected and this and not this.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        watcher.remove_done_callback(cancel)
        watcher.cancel()


async def overload_handler(_: Request, error: Exception) -> Response:
    return RESPONSES[type(error)]
