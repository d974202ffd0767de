"""Limits on what one request may cost: bytes, structure, concurrent bodies, upload time, and memory in total."""

import asyncio
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from bench.memory import BODIES, memory_limit_mib
from finalproject import limits
from finalproject.main import app
from tests.conftest import server

LIMIT = 4 * 2**20
TOO_MANY_FIELDS = {"detail": [{"loc": ["body"], "msg": "Too many fields", "type": "too_long"}]}
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\[]{}:,'))
JSON = st.recursive(TEXT | st.none(), lambda items: st.lists(items) | st.dictionaries(TEXT, items))


def test_body_of_4_mib_is_accepted_and_a_larger_one_is_413(client: TestClient) -> None:
    assert client.post("/predict", content=b'{"text": []}'.ljust(LIMIT)).status_code == 200
    assert client.post("/predict", content=b'{"text": []}'.ljust(LIMIT + 1)).status_code == 413


def test_too_large_body_is_413_before_all_of_it_is_read() -> None:
    """The client never sends the rest. The server must not wait for it."""
    request = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    chunked = request + b"Transfer-Encoding: chunked\r\n\r\n"
    with server(MAX_BODY_BYTES="1000") as (port, _):
        for content, status in [
            (request + b"Content-Length: 99999999\r\n\r\n", b"413"),
            (chunked + b"7d0\r\n" + b" " * 2000, b"413"),
            (chunked + b'4\r\n{"te\r\n8\r\nxt": []}\r\n0\r\n\r\n', b"200"),
        ]:
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                connection.sendall(content)
                assert connection.recv(4096).startswith(b"HTTP/1.1 " + status)


@given(JSON, st.booleans())
def test_structure_counts_outside_of_strings_only(client: TestClient, value: object, ascii_only: bool) -> None:
    """Colons, commas and opening brackets outside of strings: 2,000 are accepted, and more are rejected unparsed."""

    def count(value: object) -> int:
        if isinstance(value, dict):
            return 1 + sum(1 + count(item) for item in value.values()) + max(0, len(value) - 1)
        return 1 + sum(map(count, value)) + max(0, len(value) - 1) if isinstance(value, list) else 0

    def rejected(copies: int) -> bool:
        body = json.dumps([":[{" * 100, *[value] * copies], ensure_ascii=ascii_only)
        return bool(client.post("/predict", content=body.encode()).json() == TOO_MANY_FIELDS)

    copies = 1_999 // (count(value) + 1)
    assert [rejected(copies), rejected(copies + 1)] == [False, True]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_structure_of_other_encodings_is_limited_too(client: TestClient, encoding: str) -> None:
    """In UTF-16, U+2200 contains the byte of a quotation mark. FastAPI's parser accepts these encodings."""
    fields = ",".join(f'"{number}":1' for number in range(1_001))
    response = client.post("/predict", content=f'{{"\u2200":1,{fields}}}'.encode(encoding))
    assert (response.status_code, response.json()) == (422, TOO_MANY_FIELDS)


def test_brackets_in_texts_are_accepted(client: TestClient) -> None:
    texts = ['[{":"}]' * 500, '\\"[[[' * 100, "\\" * 999, "\\\n:{[" * 100]
    assert client.post("/predict", json={"text": texts}).status_code == 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_below_the_limit_of_the_manifest_whatever_16_concurrent_bodies_contain() -> None:
    kinds = "texts", "four_byte", "nested", "objects", "fields", "strings", "numbers", "unclosed"
    bodies = dict(BODIES[kind] for kind in kinds)
    bodies["strings of colons"] = b'{"text":["' + b'":","' * (LIMIT // 5 - 3) + b'"]}'
    assert max(map(len, bodies.values())) <= LIMIT
    with server(LOG_LEVEL="ERROR", DEADLINE_SECONDS="1") as (port, process), ThreadPoolExecutor(16) as threads:

        def status(body: bytes) -> int:
            with socket.create_connection(("127.0.0.1", port), 60) as connection:
                head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
                return int(connection.recv(4096).split()[1])

        for name, body in bodies.items():
            statuses = set(threads.map(status, [body] * 16))
            assert statuses <= ({200, 429, 503} if "(valid)" in name else {400, 422, 429}), name
            (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            assert int(peak) < memory_limit_mib() * 1024, name


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
        return {"type": "http.request", "body": b'{"text": []}'.ljust(self.length)}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            self.has_response.set()
        await self.download.wait()

    async def request(self) -> int:
        headers = [(b"host", b"test"), (b"content-length", str(self.length).encode())]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
        await app(scope | {"query_string": b"", "state": {}}, self.receive, self.send)
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


@pytest.mark.parametrize(("setting", "statuses"), [("SLOT", [408] * 5 + [429]), ("UPLOAD", [408] * 6)])
def test_slow_upload_is_408_and_a_large_body_that_waits_too_long_is_429(
    setting: str, statuses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a short upload timeout, the 5th large body gets the place of another one."""
    monkeypatch.setattr(limits, "UPLOAD_TIMEOUT_SECONDS", 0.05 if setting == "UPLOAD" else 1)
    monkeypatch.setattr(limits, "SLOT_TIMEOUT_SECONDS", 0.05 if setting == "SLOT" else 30)

    async def scenario() -> None:
        slow = [Client(length) for length in (100, *[100_000] * 5)]
        for client in slow:
            client.download.set()
        assert await asyncio.gather(*(client.request() for client in slow)) == statuses
        assert slow[0].headers[b"connection"] == b"close"
        assert b"retry-after" in slow[-1].headers or statuses[-1] == 408

    asyncio.run(asyncio.wait_for(scenario(), 60))
