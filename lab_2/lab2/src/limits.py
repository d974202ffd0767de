"""Limits on what one request may cost. lab_2's README names the attack that each limit stops."""

import asyncio
from contextlib import nullcontext

from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_COLONS = 80_001  # the largest valid body: 10,000 block groups of 8 fields, and "data"
MAX_BRACKETS = 10_002  # 10,000 block groups, their list and the object around it
MAX_CONCURRENT_BODIES = 4
UPLOAD_TIMEOUT_SECONDS = 10
SERVER_BUFFER_BYTES = 65_536  # uvicorn stores this much of a body before the application reads it
TOO_SLOW = JSONResponse({"detail": "The upload took too long"}, 408, {"Connection": "close"})
TOO_MANY_FIELDS = JSONResponse({"detail": [{"loc": ["body"], "msg": "Too many fields", "type": "too_long"}]}, 422)


class BodyLimits:
    """ASGI middleware: reads the whole body within the limits, then passes it to the application as JSON. At most
    MAX_CONCURRENT_BODIES requests hold a body at a time; others wait unread. A body that fits into uvicorn's buffer
    does not wait: slow uploads of large bodies must not delay it. For HTTP/1.1 and without streaming responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        length, chunked = int(headers.get(b"content-length", 0)), b"transfer-encoding" in headers
        if not (length or chunked):
            await self._app(scope, receive, send)
            return
        async with self._slots if chunked or length > SERVER_BUFFER_BYTES else nullcontext():
            response = await self._respond(scope, receive)
        while not response.empty():  # after the slot is free: the client may be slow to read
            await send(response.get_nowait())

    async def _respond(self, scope: Scope, receive: Receive) -> asyncio.Queue[Message]:
        request, response = asyncio.Queue[Message](), asyncio.Queue[Message]()
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT_SECONDS):
                body = await Request(scope, receive).body()
            request.put_nowait({"type": "http.request", "body": body})
            too_many = body.count(b":") > MAX_COLONS or body.count(b"[") + body.count(b"{") > MAX_BRACKETS
            app = TOO_MANY_FIELDS if too_many else self._app
        except TimeoutError:
            app = TOO_SLOW
        except ClientDisconnect:
            return response
        others = [header for header in scope["headers"] if header[0] != b"content-type"]
        scope["headers"] = [*others, (b"content-type", b"application/json")]  # `curl -d` declares a form
        await app(scope, request.get, response.put)
        return response
