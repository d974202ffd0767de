"""When a request is given up, and what its caller is told."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from .batcher import QueueFull, Stopped
from .errors import Failure

Outcome = TypeVar("Outcome")

ANSWERS: dict[type[Exception], tuple[int, str]] = {
    QueueFull: (429, "Too many texts wait: try again later"),
    TimeoutError: (503, "Not answered in time: try again later"),
    Stopped: (503, "The model has stopped: try again later"),
}
NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Failure, "description": "No: the reason"}}
BUSY: dict[int | str, dict[str, Any]] = {
    429: {"model": Failure, "description": "Too many texts wait; Retry-After says for how many seconds to stay away"},
    503: {"model": Failure, "description": "Not answered within the deadline, or the service is about to stop"},
}


async def while_wanted(request: Request, work: Coroutine[Any, Any, Outcome], seconds: float) -> Outcome:
    """What `work` brings. It is cancelled, with ClientDisconnect or TimeoutError, when the client leaves or `seconds`
    have passed; the server by itself would let it go on."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body is read: what comes next is that the client has left
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect if gone.done() else TimeoutError
    finally:
        task.cancel()
        gone.cancel()


async def given_up(_: Request, error: Exception) -> Response:
    if type(error) not in ANSWERS:
        return Response(status_code=499)  # to nobody: the client has left
    status, detail = ANSWERS[type(error)]
    return JSONResponse({"detail": detail}, status, {"Retry-After": "1"})
