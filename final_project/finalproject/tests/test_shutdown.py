"""Connection draining after SIGTERM."""

import asyncio
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx2
import pytest
from starlette.types import Message

from finalproject.shutdown import ConnectionDraining
from tests.conftest import server


def test_responses_close_their_connections_during_the_drain_then_the_server_stops() -> None:
    """A half-sent request does not keep the server longer than its graceful timeout."""
    with (
        server(DRAIN_SECONDS="2", UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN="1") as (port, process),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as session,
        socket.create_connection(("127.0.0.1", port)) as half_sent,
    ):
        half_sent.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{")
        assert "connection" not in session.post("/predict", json={"text": []}).headers
        started = time.monotonic()
        for _ in range(2):  # a second SIGTERM changes nothing
            process.terminate()
            time.sleep(0.4)  # without a drain, the server stops within 0.3 s
            response = session.post("/predict", json={"text": []})
            assert (response.json(), response.headers["connection"]) == ({"predictions": []}, "close")
        for path, status in [("/health", 503), ("/health/ready", 503), ("/health/live", 200)]:
            assert session.get(path).status_code == status
        process.wait(8)
        assert time.monotonic() - started > 2


def test_sigterm_under_load_loses_no_request(texts: list[str]) -> None:
    """Each client sends requests on one connection until a response closes it. One of them sends 300 texts a time."""
    requests = [json.dumps({"text": [text]}).encode() for text in texts]
    large = json.dumps({"text": [f"{number} " * 30 for number in range(300)]}).encode()
    with (
        server(DRAIN_SECONDS="1", MAX_QUEUE_SECONDS="60", DEADLINE_SECONDS="60") as (port, process),
        ThreadPoolExecutor(9) as threads,
    ):

        def statuses(client: int, first: bytes | None = None) -> list[int]:
            connection, statuses = HTTPConnection("127.0.0.1", port, timeout=60), list[int]()
            while True:
                connection.request("POST", "/predict", first or requests[len(statuses) * 8 % 200 + client])
                response = connection.getresponse()
                statuses.append(response.status)
                assert json.loads(response.read())["predictions"]
                if response.getheader("connection") == "close":
                    return statuses

        clients = [threads.submit(statuses, 0, large), *(threads.submit(statuses, number) for number in range(8))]
        time.sleep(1)
        process.terminate()
        for client in clients:
            assert set(client.result(60)) == {200}
        assert process.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize(("drain_seconds", "warnings"), [(0, 0), (5, 1)])
def test_server_without_a_handler_for_sigterm_causes_a_warning(
    drain_seconds: float, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    app, messages = ConnectionDraining(lambda *_: asyncio.sleep(0), drain_seconds), asyncio.Queue[Message]()
    asyncio.run(app({"type": "lifespan", "state": {}}, messages.get, messages.put))
    assert caplog.text.count("DRAIN_SECONDS has no effect") == warnings
