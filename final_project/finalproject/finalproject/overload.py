"""Overload control: the deadline of the work for a request, and client disconnects."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.types import Receive

from .errors import BODY_ERRORS, INVALID, ErrorResponse

Result = TypeVar("Result")
RETRY_AFTER = {"Retry-After": "1"}
QUEUE_FULL = "The queue is full: try again later"
THREAD_DIED = "An inference thread died: try again later"
UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": ErrorResponse, "description": "The reason"}}
PREDICT_ERRORS: dict[int | str, dict[str, Any]] = {
    **INVALID,
    **BODY_ERRORS,
    429: {"model": ErrorResponse, "description": "The queue is full. Retry-After names the seconds to wait"},
    503: {"model": ErrorResponse, "description": "The deadline has passed, or an inference thread died"},
}


async def run_until(work: Awaitable[Result], receive: Receive, seconds: float) -> Result:
    """The result of `work`. Cancels it when the client disconnects or after `seconds`, and raises a HTTPException.
    `receive` is that of a request whose body is read: its next message is the disconnect."""
    task, disconnect = asyncio.ensure_future(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, disconnect}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if disconnect.done():  # nobody receives this response; the metrics count it
            raise HTTPException(499, "Client disconnect")
        raise HTTPException(503, "The deadline has passed: try again later", RETRY_AFTER)
    finally:
        task.cancel()
        disconnect.cancel()
