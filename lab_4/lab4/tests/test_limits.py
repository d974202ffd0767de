"""Limits on what one request may cost: bytes, structure, concurrent bodies, upload time, and memory in total."""

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from bench.hostile import BODIES, numbered
from src import limits
from src.main import app
from tests.conftest import server

LIMIT = 4 * 2**20
TOO_MANY_FIELDS = {"detail": [{"loc": ["body"], "msg": "Too many fields", "type": "too_long"}]}


def test_body_of_4_mib_is_accepted_and_a_larger_one_is_413(client: TestClient) -> None:
    assert client.post("/predict", content=b'{"data": []}'.ljust(LIMIT)).status_code == 200
    assert client.post("/predict", content=b'{"data": []}'.ljust(LIMIT + 1)).status_code == 413


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 99999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b" " * 2000],
    ids=["declared length", "chunked"],
)
def test_too_large_body_is_413_before_all_of_it_is_read(framing: bytes) -> None:
    """The client never sends the rest. The server must not wait for it."""
    with server(MAX_BODY_BYTES="1000") as (port, _), socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + framing)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("accepted", "rejected"),
    [
        (b'{"data":[' + b",".join([b'{"a":1}'] * 10_000) + b"]}", b'{"data":[' + b",".join([b"{}"] * 10_001) + b"]}"),
        (b"[" * 10_002, b"[" * 10_003),
        (b'"' + b":" * 80_001 + b'"', b'"' + b":" * 80_002 + b'"'),
    ],
    ids=["objects", "lists", "fields"],
)
def test_structure_beyond_the_largest_batch_is_rejected_unparsed(
    client: TestClient, accepted: bytes, rejected: bytes
) -> None:
    assert client.post("/predict", content=accepted).json() != TOO_MANY_FIELDS
    response = client.post("/predict", content=rejected)
    assert (response.status_code, response.json()) == (422, TOO_MANY_FIELDS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_below_300_mib_whatever_6_concurrent_bodies_hold() -> None:
    assert max(map(len, BODIES.values())) <= LIMIT

    with server(LOG_LEVEL="ERROR") as (port, process), ThreadPoolExecutor(6) as threads:

        def send(body: bytes) -> int:
            return httpx2.post(
                f"http://127.0.0.1:{port}/predict", content=body, timeout=60, trust_env=False
            ).status_code

        for body in BODIES.values():
            assert set(threads.map(send, [body] * 6)) <= {200, 422}
        for body in (numbered(79_999, 40), b'"\xff'.ljust(LIMIT), '"\U0001d11e'.encode().ljust(LIMIT)):
            assert set(threads.map(send, [body] * 60)) <= {400, 422}  # their exceptions must not keep them
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert int(peak) < 300 * 1024


# The middleware with the real application, and a client that sends or reads slowly


@pytest.fixture(autouse=True)
def new_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    """The semaphore belongs to one event loop. The application builds its middleware again at the next request."""
    monkeypatch.setattr(app, "middleware_stack", None)


class Client:
    """An ASGI client that sends its body when `upload` is set, and reads the response when `download` is set."""

    def __init__(self, length: int) -> None:
        self.length, self.status, self.is_read = length, 0, False
        self.headers: dict[bytes, bytes] = {}
        self.upload, self.has_response, self.download = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def receive(self) -> Message:
        self.is_read = True
        await self.upload.wait()
        return {"type": "http.request", "body": b'{"data": []}'.ljust(self.length)}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            self.has_response.set()
        await self.download.wait()

    async def request(self) -> int:
        headers = [(b"host", b"test"), (b"content-length", str(self.length).encode())]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
        await app(scope | {"query_string": b""}, self.receive, self.send)
        return self.status


def test_four_large_bodies_are_read_at_a_time_and_small_ones_do_not_wait() -> None:
    async def scenario() -> None:
        clients = [Client(100_000) for _ in range(5)]
        tasks = [asyncio.create_task(client.request()) for client in clients]
        await asyncio.sleep(0.05)
        assert [client.is_read for client in clients] == [True] * 4 + [False]

        small = Client(100)
        small.upload.set()
        small.download.set()
        assert await asyncio.wait_for(small.request(), 30) == 200

        for client in clients:  # all upload; none reads its response
            client.upload.set()
        await asyncio.gather(*(client.has_response.wait() for client in clients))
        for client in clients:
            client.download.set()
        assert await asyncio.gather(*tasks) == [200] * 5

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_slow_upload_is_408_and_its_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOAD_TIMEOUT_SECONDS", 0.05)

    async def scenario() -> None:
        slow = [Client(length) for length in (100, *[100_000] * 5)]  # the 5th large one gets the place of another one
        for client in slow:
            client.download.set()
        assert await asyncio.gather(*(client.request() for client in slow)) == [408] * 6
        assert slow[0].headers[b"connection"] == b"close"

    asyncio.run(asyncio.wait_for(scenario(), 60))
