"""Connection draining after SIGTERM."""

import asyncio
import socket
import time

import httpx2
import pytest
from starlette.types import Message

from src.shutdown import ConnectionDraining
from tests.conftest import server


def test_responses_close_their_connections_during_the_drain_then_the_server_stops() -> None:
    """A half-sent request does not keep the server longer than its graceful timeout."""
    with (
        server(DRAIN_SECONDS="2", UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN="1") as (port, process),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as session,
        socket.create_connection(("127.0.0.1", port)) as half_sent,
    ):
        half_sent.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{")
        assert "connection" not in session.post("/predict", json={"data": []}).headers
        started = time.monotonic()
        for _ in range(2):  # a second SIGTERM changes nothing
            process.terminate()
            time.sleep(0.4)  # without a drain, the server stops within 0.3 s
            response = session.post("/predict", json={"data": []})
            assert (response.json(), response.headers["connection"]) == ({"predictions": []}, "close")
        process.wait(8)
        assert time.monotonic() - started > 2


@pytest.mark.parametrize(("drain_seconds", "warnings"), [(0, 0), (5, 1)])
def test_server_without_a_handler_for_sigterm_causes_a_warning(
    drain_seconds: float, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    app, messages = ConnectionDraining(lambda *_: asyncio.sleep(0), drain_seconds), asyncio.Queue[Message]()
    asyncio.run(app({"type": "lifespan"}, messages.get, messages.put))
    assert caplog.text.count("DRAIN_SECONDS has no effect") == warnings
