"""The server's HTTP parser: zttp, with a bound on pipelined requests and one write per response. Select it with
`--http finalproject.server:Protocol`."""

import asyncio
from typing import Any

from uvicorn.protocols.http.zttp_impl import ZttpProtocol


class OneWrite:
    """A transport that sends what is written in one iteration of the event loop in one call of the operating system.
    zttp writes the head and the body of a response separately. bench.techniques measures the difference."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._parts = transport, list[bytes]()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()


class Protocol(ZttpProtocol):
    """Reads no further request from a connection before the response to the last one is complete. uvicorn's zttp stores
    them without a limit: 50 connections with 100 requests of 64 KB each took 568 MB. A path that is not ASCII has
    status 400. A connection is closed if its client waits for `100 Continue` and gets a final response instead."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = OneWrite(transport)  # type: ignore[assignment]

    def eof_received(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined] # asyncio closes its own transport after this

    def handle_events(self, event: Any) -> None:  # noqa: ANN401
        try:
            super().handle_events(event)
        except UnicodeDecodeError:  # in the path
            self.handle_remote_protocol_error()

    def data_received(self, data: bytes) -> None:
        pipelined = self._responding()
        super().data_received(data)
        if pipelined:
            self.transport.pause_reading()  # not self.flow, which `receive` resumes

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and b"expect" in dict(self.headers):
            self.transport.close()  # the client need not send the body; its next request would be read as the body
        elif self._responding():
            self.transport.pause_reading()
        elif not self.flow.read_paused:  # else the body of the next request is in uvicorn's buffer
            self.transport.resume_reading()

    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
