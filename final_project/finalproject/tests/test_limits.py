"""Limits on what one request may cost: bytes, structure, concurrent bodies, upload time, and memory in total."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from bench.memory import BODIES, memory_limit_mib, peak_mib, send
from bench.servers import Server
from finalproject import limits
from finalproject.main import app
from tests.conftest import server

LIMIT = 4 * 2**20
TOO_MANY_FIELDS = {"detail": [{"loc": ["body"], "msg": "Too many fields", "type": "too_long"}]}


def test_body_of_4_mib_is_accepted_and_a_larger_one_is_413(client: TestClient) -> None:
    assert client.post("/predict", content=b'{"text": []}'.ljust(LIMIT)).status_code == 200
    assert client.post("/predict", content=b'{"text": []}'.ljust(LIMIT + 1)).status_code == 413


def test_too_large_body_is_413_before_all_of_it_is_read() -> None:
    """The client never sends the rest. The server must not wait for it."""
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    with server(MAX_BODY_BYTES="1000") as (client, _):
        for content, status in [
            (b"Content-Length: 2000\r\n\r\n", b"413"),
            (b"Content-Length: " + b"0" * 5_000 + b'12\r\n\r\n{"text": []}', b"200"),
            (chunked + b"7d0\r\n" + b" " * 2000, b"413"),
            (chunked + b'4\r\n{"te\r\n8\r\nxt": []}\r\n0\r\n\r\n', b"200"),
        ]:
            with socket.create_connection(("127.0.0.1", client.base_url.port or 0), 30) as connection:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + content)
                assert connection.recv(4096).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("text", ["", ",:[{" * 100, "\\", '\\":[{', '"\\\\[', "é😀\u2028[:"])
def test_structure_counts_outside_of_strings_only(client: TestClient, text: str, ascii_only: bool) -> None:
    """Colons, commas and opening brackets outside of strings: 2,000 are accepted, and more are rejected unparsed."""

    def rejected(*values: object) -> bool:
        body = json.dumps(values, ensure_ascii=ascii_only).encode()
        return bool(client.post("/predict", content=body).json() == TOO_MANY_FIELDS)

    values = [text, *[[text]] * 500, *[{text: text}] * 333]  # 1, 2 and 3 each, with the bracket or comma before it
    assert not rejected(*values)
    assert rejected(*values, 0)
    assert rejected([text], *values[1:])
    assert rejected(text, {text: text}, *values[2:])


def test_structure_of_utf_16_is_limited_too(client: TestClient) -> None:
    """There, U+2200 contains the byte of a quotation mark. FastAPI's parser accepts UTF-16."""
    fields = ",".join(f'"{number}":1' for number in range(1_001))
    response = client.post("/predict", content=f'{{"\u2200":1,{fields}}}'.encode("utf-16-le"))
    assert (response.status_code, response.json()) == (422, TOO_MANY_FIELDS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_below_the_limit_of_the_manifest_whatever_clients_send() -> None:
    kinds = "texts", "four_byte", "nested", "objects", "fields", "strings", "numbers", "unclosed"
    bodies = dict(BODIES[kind] for kind in kinds)
    bodies["strings of colons"] = b'{"text":["' + b'":","' * (LIMIT // 5 - 3) + b'"]}'
    assert max(map(len, bodies.values())) <= LIMIT
    with server(LOG_LEVEL="ERROR", DEADLINE_SECONDS="1") as (client, process), ThreadPoolExecutor(16) as threads:
        service = Server(f"http://127.0.0.1:{client.base_url.port}", process.pid, 0)
        for name, body in bodies.items():
            statuses = set(threads.map(send, [service] * 16, [body] * 16))
            assert statuses <= ({"200", "429", "503"} if "(valid)" in name else {"400", "422", "429"}), name
            assert peak_mib(service) < memory_limit_mib(), name


# The middleware with the real application, and clients that send or read slowly


@pytest.fixture(autouse=True)
def new_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    """The semaphore belongs to one event loop. The application builds its middleware again at the next request."""
    monkeypatch.setattr(app, "middleware_stack", None)


async def request(length: int, upload: asyncio.Event, download: asyncio.Event) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers for a client that sends its body after `upload`, and reads the response after `download`."""
    start: Message = {}

    async def receive() -> Message:
        await upload.wait()
        return {"type": "http.request", "body": b'{"text": []}'.ljust(length)}

    async def send(message: Message) -> None:
        start.update(message)
        await download.wait()

    headers = [(b"host", b"test"), (b"content-length", b"%d" % length)]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "query_string": b"", "state": {}}
    await app(scope, receive, send)
    return start["status"], dict(start["headers"])


@pytest.mark.anyio
async def test_four_large_bodies_are_processed_at_a_time_and_slow_uploads_are_408(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload, download, now = asyncio.Event(), asyncio.Event(), asyncio.Event()
    now.set()
    four = asyncio.gather(*(request(100_000, upload, download) for _ in range(4)))
    await asyncio.sleep(0)
    monkeypatch.setattr(limits, "SLOT_TIMEOUT_SECONDS", 0.05)
    status, headers = await request(100_000, now, now)
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert (await request(100, now, now))[0] == 200  # small
    monkeypatch.setattr(limits, "SLOT_TIMEOUT_SECONDS", 30)
    upload.set()  # the four do not read their responses
    assert (await request(100_000, now, now))[0] == 200
    download.set()
    assert [status for status, _ in await four] == [200] * 4

    monkeypatch.setattr(limits, "UPLOAD_TIMEOUT_SECONDS", 0.05)
    upload.clear()
    lengths = (100, *[100_000] * 5)  # the 5th large one gets the place of another one
    for status, headers in await asyncio.gather(*(request(length, upload, now) for length in lengths)):
        assert (status, headers[b"connection"]) == (408, b"close")
