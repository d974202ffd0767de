"""HTTP as RFC 9110 defines it. Labs 2 to 4 share the server's options. The final project has another parser."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from repository import FINAL, LABS, name, project, without
from scripts import accepts_connections, free_port, until

HIDDEN = b"GET /hello?name=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"  # a body that looks like a request
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
LAST = GET + b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module", params=[LABS[0], LABS[3], FINAL], ids=name)
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
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", data)]


def with_body(request: bytes, body: bytes) -> bytes:
    return request + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_upgrade_is_ignored_and_the_body_is_neither_lost_nor_read_as_a_request(port: int, protocol: bytes) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n"
    assert statuses(port, with_body(GET + upgrade, HIDDEN)) == [200, 200]
    predict = b"POST /predict HTTP/1.1\r\nHost: x\r\n" + upgrade
    requests = (with_body(predict, body) for body in (b'{"data": []}', b'{"text": []}'))
    assert statuses(port, *requests) in ([404, 404, 200], [200, 422, 200], [422, 200, 200])  # lab_1, lab_4, FINAL


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ((GET + b"\r\n") * 3, [200, 200, 200, 200]),  # pipelined
        (with_body(GET.replace(b"GET", b"POST"), HIDDEN), [405, 200]),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [200, 200]),
        (with_body(GET + b"Expect: 100-continue\r\n", b"{}"), [200, 200]),
        (GET + b"X-Large: " + 15_000 * b"x" + b"\r\n\r\n", [200, 200]),
        (with_body(GET, 60_000 * b" ") * 400, 401 * [200]),  # the server must read no more than it can process
    ],
)
def test_connection_stays_usable_after_unusual_requests(port: int, request_: bytes, expected: list[int]) -> None:
    assert statuses(port, request_) == expected


def test_http_1_0_closes_the_connection(port: int) -> None:
    assert statuses(port, last=b"GET /health HTTP/1.0\r\n\r\n") == [200]
