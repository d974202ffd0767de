"""HTTP as RFC 9110 defines it. Server options and middleware are copies, so two labs are enough."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from repository import REBUILT, name, project, without
from scripts import accepts_connections, free_port, until

HIDDEN = b"GET /hello?name=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"  # a body that looks like a request
HELLO = b"GET /hello?name=Ada HTTP/1.1\r\nHost: x\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module", params=[REBUILT[0], REBUILT[-1]], ids=name)
def port(request: pytest.FixtureRequest, installed: None) -> Iterator[int]:
    """The port of a service that runs with the CMD of its Dockerfile."""
    folder, port = project(request.param), free_port()
    (cmd,) = re.findall(r"^CMD (\[.*?\])$", (folder / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    arguments: list[str] = json.loads(cmd.replace("\\\n", "").replace('"8000"', f'"{port}"'))
    options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert options["--host"] == "", "the server must listen on IPv4 and IPv6"
    assert options["--timeout-keep-alive"] == "75", "an idle connection must stay open longer than a proxy keeps it"
    with subprocess.Popen([folder / ".venv/bin/python", "-m", *arguments], cwd=folder, env=without()) as process:
        until(lambda: accepts_connections(port) or process.poll() is not None, "the server does not start")
        yield int(port)
        process.kill()


def statuses(port: int, *parts: bytes, last: bytes = LAST) -> list[int]:
    """Sends the parts on one connection, then a last request. Returns the status codes, but for 100."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in (*parts, last):
            connection.sendall(part)
            time.sleep(0.1)
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"smuggled" not in data
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", data)]


def with_body(request: bytes, body: bytes) -> bytes:
    return request + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_upgrade_is_ignored_and_the_body_is_neither_lost_nor_read_as_a_request(port: int, protocol: bytes) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n"
    assert statuses(port, with_body(HELLO + upgrade, HIDDEN)) == [200, 200]
    predict = with_body(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + upgrade, b'{"data": []}')
    assert statuses(port, predict) in ([200, 200], [404, 200])  # lab_1 has no such route; without a body: 422


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ((HELLO + b"\r\n") * 3, [200, 200, 200, 200]),  # pipelined
        (with_body(HELLO.replace(b"GET", b"POST"), HIDDEN), [405, 200]),
        (HELLO + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [200, 200]),
        (with_body(HELLO + b"Expect: 100-continue\r\n", b"{}"), [200, 200]),
    ],
)
def test_connection_stays_usable_after_unusual_requests(port: int, request_: bytes, expected: list[int]) -> None:
    assert statuses(port, request_) == expected
