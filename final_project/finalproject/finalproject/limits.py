"""Limits on what one request may cost. The README names the attack that each limit stops."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

from fastapi.responses import JSONResponse
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .overload import QUEUE_FULL, RETRY_AFTER

MAX_STRUCTURE = 2_000  # colons, commas and opening brackets outside of strings; a valid body has at most 1,002
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'  # possessive: without backtracking
ABOVE_MAX = re.compile(rb'(?:[^":,[{]*+(?:%b[^":,[{]*+)*+[:,[{]){%d}' % (STRING, MAX_STRUCTURE + 1), re.DOTALL)
MAX_CONCURRENT_BODIES = 4
SLOT_TIMEOUT_SECONDS = 1
UPLOAD_TIMEOUT_SECONDS = 10
SERVER_BUFFER_BYTES = 65_536  # uvicorn stores this much of a body before the application reads it
SHED = JSONResponse({"detail": QUEUE_FULL}, 429, RETRY_AFTER)
TOO_SLOW = JSONResponse({"detail": "The upload took too long"}, 408, {"Connection": "close"})
TOO_MANY_FIELDS = JSONResponse({"detail": [{"loc": ["body"], "msg": "Too many fields", "type": "too_long"}]}, 422)


def too_many_fields(body: bytes) -> bool:
    """Whether the structure is above the maximum. The search takes at most 60 ms for 4 MiB, and no memory."""
    if sum(map(body.count, (b":", b",", b"[", b"{"))) <= MAX_STRUCTURE:
        return False
    return b"\0" in body or bool(ABOVE_MAX.match(body))  # with a zero byte it is UTF-16, where STRING fails


class BodyLimits:
    """ASGI middleware: reads the whole body within the limits, and passes it to the application in one message. At
    most MAX_CONCURRENT_BODIES requests with large bodies are processed at a time. A body that fits into uvicorn's
    buffer does not wait for them. While `shed()` is true, no body is read: the response is 429. For HTTP/1.1 and
    without streaming responses."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, shed: Callable[[], bool]) -> None:
        self._app, self._shed, self._max_unlimited = app, shed, min(max_body_bytes, SERVER_BUFFER_BYTES)
        self._limited_body = RequestBodyLimitMiddleware(self._limited, max_body_bytes)
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        # without thousands of leading zeros, where int() fails
        length, chunked = int(headers.get(b"content-length", b"0")[-20:]), b"transfer-encoding" in headers
        if not (length or chunked):
            await self._app(scope, receive, send)
        elif self._shed():
            await SHED(scope, receive, send)
        elif chunked or length > self._max_unlimited:
            await self._large(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    async def _large(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.wait_for(self._slots.acquire(), SLOT_TIMEOUT_SECONDS)
        except TimeoutError:
            await SHED(scope, receive, send)
            return
        response = asyncio.Queue[Message]()
        try:
            await self._limited_body(scope, receive, response.put)
        finally:
            self._slots.release()
        while not response.empty():  # after the slot is free: the client may be slow to read
            await send(response.get_nowait())

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, messages = self._app, list[Message]()
        try:
            message = first_message(receive)
            if message and message["type"] == "http.request" and not message.get("more_body"):
                body = message["body"]
            else:
                async with asyncio.timeout(UPLOAD_TIMEOUT_SECONDS):
                    body = await Request(scope, receive_first([message] if message else [], receive)).body()
            messages.append({"type": "http.request", "body": body})
            if too_many_fields(body):
                app = TOO_MANY_FIELDS
            del body  # its memory, while the texts wait in the queue
        except TimeoutError:
            app = TOO_SLOW
        except ClientDisconnect:
            return
        await app(scope, receive_first(messages, receive), send)


def receive_first(messages: list[Message], receive: Receive) -> Receive:
    async def receive_messages_first() -> Message:
        return messages.pop() if messages else await receive()

    return receive_messages_first


def first_message(receive: Receive) -> Message | None:
    """The next message, if `receive` returns it without waiting. A timeout takes an eighth of the time of a hit."""
    coroutine: Any = receive()
    try:
        coroutine.send(None)
    except StopIteration as result:
        return cast(Message, result.value)
    coroutine.close()
    return None
