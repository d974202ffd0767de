"""The server's last seconds: from SIGTERM on, answers say `Connection: close`, and only then the server stops.

uvicorn by itself closes idle connections in the moment that it is told to stop. A request that is on its way on one of
them is lost, and clients do not send a POST twice: of 80 stops under load, 4 lost one.
"""

import asyncio
import signal
from types import FrameType

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Drain:
    """ASGI middleware. `seconds` is time for each client to ask once more; with 0, all is as without it.
    A request's state says whether the service is `leaving`."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds, self._leaving = app, seconds, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if self._leaving and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        if scope["type"] == "lifespan" and self._seconds:
            self._come_before_the_server()
        scope.setdefault("state", {})["leaving"] = self._leaving
        await self._app(scope, receive, answer)

    def _come_before_the_server(self) -> None:
        loop, handler = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
        if not callable(handler):  # not the server's: SIGTERM ends the process by itself
            return
        stop = handler

        def leave(number: int, frame: FrameType | None) -> None:
            self._leaving = True
            loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, leave)
