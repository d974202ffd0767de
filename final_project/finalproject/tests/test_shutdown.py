"""Connection draining after SIGTERM."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

from tests.conftest import server


def test_responses_close_their_connections_during_the_drain_then_the_server_stops() -> None:
    """A half-sent request does not keep the server longer than its graceful timeout."""
    with (
        server(DRAIN_SECONDS="2", UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN="1") as (session, process),
        socket.create_connection(("127.0.0.1", session.base_url.port or 0)) as half_sent,
    ):
        half_sent.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{")
        assert "connection" not in session.post("/predict", json={"text": []}).headers
        for _ in range(2):  # a second SIGTERM changes nothing
            process.terminate()
            time.sleep(0.4)  # without a drain, the server stops within 0.3 s
            response = session.post("/predict", json={"text": []})
            assert (response.json(), response.headers["connection"]) == ({"predictions": []}, "close")
        for path, status in [("/health", 503), ("/health/ready", 503), ("/health/live", 200)]:
            assert session.get(path).status_code == status
        process.wait(30)


def test_sigterm_under_load_loses_no_request(texts: list[str]) -> None:
    """Each client sends requests on one connection until a response closes it. One of them sends 300 texts a time."""
    bodies = [json.dumps({"text": [text]}).encode() for text in texts[:8]]
    bodies.append(json.dumps({"text": [f"{number} " * 30 for number in range(300)]}).encode())
    with (
        server(DRAIN_SECONDS="1", MAX_QUEUE_SECONDS="60", DEADLINE_SECONDS="60") as (client, process),
        ThreadPoolExecutor(len(bodies)) as threads,
    ):

        def statuses(body: bytes) -> set[int]:
            connection, statuses = HTTPConnection("127.0.0.1", client.base_url.port, timeout=60), set[int]()
            while True:
                connection.request("POST", "/predict", body)
                response = connection.getresponse()
                statuses.add(response.status)
                assert json.loads(response.read())["predictions"]
                if response.getheader("connection") == "close":
                    return statuses

        clients = [threads.submit(statuses, body) for body in bodies]
        time.sleep(1)
        process.terminate()
        assert [client.result(60) for client in clients] == [{200}] * len(bodies)
        assert process.wait(30) == -signal.SIGTERM
