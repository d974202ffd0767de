"""The HTTP server: writes, pipelined requests, and bodies that the application does not read."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from bench.servers import free_port
from tests.test_overload import until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(path: bytes, body: bytes = b"", length: int | None = None, header: bytes = b"") -> bytes:
    size = len(body) if length is None else length
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (path, header, size, body)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Responds at once, on /read after the body, and on /never not at all."""
    while scope["path"] == "/read" and (await receive())["more_body"]:
        pass
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"read"})


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    port = free_port()
    options = {"http": "finalproject.server:Protocol", "lifespan": "off", "log_config": None}
    timeouts = {"timeout_keep_alive": 75, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(application, port=port, **options, **timeouts))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


def received(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_response_is_one_write(connection: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    writes, transport = list[bytes](), asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def record(self: object, data: bytes) -> None:
        writes.append(data)
        write(self, data)

    monkeypatch.setattr(transport, "write", record)
    connection.sendall(LAST)
    assert [received(connection)] == [data for data in writes if data]


def test_client_that_sends_no_more_gets_its_response(connection: socket.socket) -> None:
    connection.sendall(GET)
    connection.shutdown(socket.SHUT_WR)
    assert received(connection).endswith(b"read")


def test_body_that_the_application_does_not_read_is_not_a_request(connection: socket.socket) -> None:
    connection.sendall(post(b"/", GET * 3) + LAST)
    assert received(connection).count(b"HTTP/1.1 200") == 2


def test_connection_is_closed_if_the_client_waits_to_send_a_body_that_is_not_read(connection: socket.socket) -> None:
    connection.sendall(post(b"/", length=5, header=b"Expect: 100-Continue\r\n"))
    assert received(connection).count(b"HTTP/1.1 ") == 1


def test_pipelined_request_may_wait_for_100_continue(connection: socket.socket) -> None:
    connection.sendall(GET + post(b"/read", length=5, header=b"Expect: 100-continue\r\n"))
    data = b""
    while b"100 Continue" not in data:
        data += connection.recv(65_536)
    connection.sendall(b"body!" + LAST)
    assert (data + received(connection)).count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize("before", [b"", GET])
def test_path_that_is_not_ascii_is_400(connection: socket.socket, before: bytes) -> None:
    connection.sendall(before + b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1 400 " in received(connection)


@pytest.mark.parametrize(
    "requests",
    [post(b"/never") + post(b"/", b" " * 60_000), GET + post(b"/never", b" " * 150_000, 10**9)],
    ids=["further requests", "the body of a pipelined request"],
)
@pytest.mark.parametrize("before", [b"", GET * 1_000])
def test_server_stops_reading_when_its_buffer_is_full(
    connection: socket.socket, before: bytes, requests: bytes
) -> None:
    connection.sendall(before + requests)
    connection.settimeout(1)
    with pytest.raises(TimeoutError):  # the buffers of the kernel are full
        list(map(connection.sendall, [post(b"/", b" " * 60_000)] * 1_000))
