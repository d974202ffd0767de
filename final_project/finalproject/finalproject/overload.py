"""Overload control: load shedding, the deadline of a request, and client disconnects."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import ErrorResponse

Result = TypeVar("Result")
RETRY_AFTER = {"Retry-After": "1"}
QUEUE_FULL = "The queue is full: try again later"
SHED = JSONResponse({"detail": QUEUE_FULL}, 429, RETRY_AFTER)
UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": ErrorResponse, "description": "The reason"}}
OVERLOADED: dict[int | str, dict[str, Any]] = {
    429: {"model": ErrorResponse, "description": "The queue is full. Retry-After names the seconds to wait"},
    503: {"model": ErrorResponse, "description": "The deadline has passed, or an inference thread died"},
}


class QueueFull(HTTPException):
    def __init__(self) -> None:
        super().__init__(429, QUEUE_FULL, RETRY_AFTER)


class InferenceStopped(HTTPException):
    def __init__(self) -> None:
        super().__init__(503, "An inference thread died: try again later", RETRY_AFTER)


class LoadShedding:
    """ASGI middleware: rejects POST requests to `path` before it reads them, while `shed()` is true."""

    def __init__(self, app: ASGIApp, path: str, shed: Callable[[], bool]) -> None:
        self._app, self._path, self._shed = app, path, shed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        predict = scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST"
        await (SHED if predict and self._shed() else self._app)(scope, receive, send)


async def run_until(work: Awaitable[Result], receive: Receive, seconds: float) -> Result:
    """The result of `work`. Cancels it when the client disconnects or after `seconds`, and raises a HTTPException.
    `receive` is that of a request whose body is read: its next message is the disconnect."""
    this: Any = asyncio.current_task()
    reason: tuple[int, str] | None = None

    def stop(*status_and_detail: Any) -> None:  # noqa: ANN401
        nonlocal reason
        if not reason:
            reason = status_and_detail
            this.cancel()

    watcher = asyncio.ensure_future(receive())
    watcher.add_done_callback(lambda _: stop(499, "Client disconnect"))  # nobody receives it; the metrics count it
    timer = asyncio.get_running_loop().call_later(seconds, stop, 503, "The deadline has passed: try again later")
    try:
        return await work
    except asyncio.CancelledError:
        if reason and not this.uncancel():
            raise HTTPException(*reason, RETRY_AFTER) from None
        raise  # the server shuts down
    finally:
        reason = reason or (200, "Complete")
        watcher.cancel()
        timer.cancel()
