"""HTTP as RFC 9110 defines it, with the server options of each image: uvicorn runs as in the Dockerfile's CMD."""

import contextlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import REBUILT, ROOT, name, project, without
from scripts import answers, until

HIDDEN = b"GET /hello?name=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"  # a body that looks like a request
BLOCK_GROUPS = b'\xef\xbb\xbf{"data": []}'  # with a byte order mark

pytestmark = pytest.mark.usefixtures("installed")


def command(lab: Path) -> list[str]:
    """The CMD of the lab's Dockerfile."""
    (cmd,) = re.findall(r"^CMD (\[.*?\])$", (project(lab) / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    arguments: list[str] = json.loads(cmd.replace("\\\n", ""))
    return arguments


@pytest.fixture(scope="module", params=REBUILT, ids=name)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """The lab's name, and the port of its service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(port) if argument == "8000" else argument for argument in command(request.param)]
    folder = project(request.param)
    with subprocess.Popen([folder / ".venv/bin/python", "-m", *arguments], cwd=folder, env=without()) as process:
        until(lambda: answers(str(port)) or process.poll() is not None, "the server does not start")
        yield request.param.name, port
        process.kill()


LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def exchange(port: int, *parts: bytes, host: str = "127.0.0.1", pause: float = 0, last: bytes = LAST) -> list[bytes]:
    """Sends the parts on one connection, then a last request. Returns the responses."""
    with socket.create_connection((host, port), timeout=60) as connection:
        for part in (*parts, last):
            connection.sendall(part)
            time.sleep(pause)
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    return re.split(rb"(?<!\A)(?=HTTP/1\.1 \d\d\d )", data)


def post(lab: str, headers: bytes = b"", body: bytes = HIDDEN, version: bytes = b"1.1") -> bytes:
    """A request with a body: to /predict where the lab has it, else a GET."""
    target = b"POST /predict" if lab != "lab_1" else b"GET /hello?name=Ada"
    if lab != "lab_1" and body == HIDDEN:
        body = BLOCK_GROUPS
    length = f"Content-Length: {len(body)}\r\n".encode()
    return target + b" HTTP/" + version + b"\r\nHost: x\r\n" + headers + length + b"\r\n" + body


def statuses(responses: list[bytes]) -> list[int]:
    return [int(response.split(b" ", 2)[1]) for response in responses]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_server_listens_on_ipv4_and_ipv6(server: tuple[str, int], host: str) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
    assert statuses(exchange(server[1], host=host)) == [200]


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
def test_upgrade_is_ignored_and_the_body_is_not_read_as_a_request(server: tuple[str, int], headers: bytes) -> None:
    lab, port = server
    responses = exchange(port, post(lab, headers))
    assert statuses(responses) == [200, 200]
    assert b"smuggled" not in b"".join(responses)


def test_body_that_looks_like_a_request_is_not_read_as_one(server: tuple[str, int]) -> None:
    _, port = server
    length = f"Content-Length: {len(HIDDEN)}\r\n".encode()
    responses = exchange(port, b"POST /hello?name=Ada HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n" + HIDDEN)
    assert statuses(responses) == [405, 200]
    assert b"smuggled" not in b"".join(responses)


def test_pipelined_and_http_1_0_and_chunked_requests_are_answered(server: tuple[str, int]) -> None:
    lab, port = server
    assert statuses(exchange(port, post(lab) * 3)) == [200] * 4
    # the server closes after a response in HTTP/1.0, so nothing may follow
    assert statuses(exchange(port, last=post(lab, version=b"1.0"))) == [200]
    chunked = (
        post(lab).replace(b"Content-Length", b"X").split(b"\r\n\r\n")[0] + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = BLOCK_GROUPS if lab != "lab_1" else b"GET"
    assert statuses(exchange(port, chunked + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")) == [200, 200]


def test_expect_100_continue_gets_an_interim_response(server: tuple[str, int]) -> None:
    lab, port = server
    found = statuses(exchange(port, post(lab, b"Expect: 100-continue\r\n", body=b"{}"), pause=0.2))
    assert found in ([100, 422, 200], [422, 200]) if lab != "lab_1" else found in ([200, 200], [100, 200, 200])


def test_idle_connection_stays_open_longer_than_a_proxys(server: tuple[str, int]) -> None:
    """uvicorn's default is 5 s. The option says how long exactly: waiting for 75 s would only test uvicorn."""
    lab, port = server
    assert statuses(exchange(port, post(lab), pause=6)) == [200, 200]
    arguments = command(ROOT / lab)
    options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert (options["--timeout-keep-alive"], options["--timeout-graceful-shutdown"]) == ("75", "20")
