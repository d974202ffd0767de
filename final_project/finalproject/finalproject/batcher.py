"""A bounded queue of texts, and threads that take batches of like length from it.

Idle, a text runs at once. Busy, what waits lies sorted by length, and a thread takes the text whose request's turn it
is, with its nearest neighbours, so that little of a batch is padding. Requests take turns: nobody waits for another
request's thousand texts.
"""

import asyncio
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from time import perf_counter
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

Answer = TypeVar("Answer")
Tokens = list[int]

SPARE = 4  # tokens by which neighbours may differ: so much padding costs about what a call of the model costs by itself

queue = Gauge("batcher_waiting", "Texts that wait for the model")
wait = Histogram("batcher_wait_seconds", "Time that a text waited", buckets=(0.001, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30))
size = Histogram(
    "batcher_batch_tokens", "Tokens of a batch with its padding", buckets=(16, 32, 64, 128, 256, 512, 1024)
)
padding = Counter("batcher_padding_tokens", "Tokens of batches that were padding")
rejected = Counter("batcher_rejected", "Requests that came when too many texts waited")


class QueueFull(Exception):  # noqa: N818 - as asyncio has it
    """As many texts wait as may."""


class Stopped(Exception):  # noqa: N818
    """An inference thread has died, and the service with it."""


class Request(Generic[Answer]):
    """The texts of one call: those that wait, in order, and the answers of the others."""

    def __init__(self, texts: list[Tokens]) -> None:
        self.arrived = perf_counter()
        self.waiting = {Text(self, place, tokens): None for place, tokens in enumerate(texts)}
        self.answers: list[Answer | None] = [None] * len(texts)
        self.missing = len(texts)
        self.answered: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # which a future refuses
            error = RuntimeError(repr(error))
        if not self.answered.done():
            self.answered.set_exception(error)

    def tell(self, *what: object) -> None:
        """Calls it in the request's loop, from a thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.answered.get_loop().call_soon_threadsafe(*what)  # type: ignore[arg-type]


class Text(Generic[Answer]):
    def __init__(self, request: Request[Answer], place: int, tokens: Tokens) -> None:
        self.request, self.place, self.tokens, self.length = request, place, tokens, len(tokens)


by_length = attrgetter("length")


class Batcher(Generic[Answer]):
    """`await batcher(texts)` is `predict(texts)`, in one thread or another; for one event loop.

    A batch has at most `most_tokens` tokens, padding included, or is one text. A request is admitted, whole, while
    fewer than `most_waiting` texts wait.
    """

    def __init__(
        self, predict: Callable[[list[Tokens]], list[Answer]], threads: int, most_tokens: int, most_waiting: int
    ) -> None:
        self._predict, self._most_tokens, self._most_waiting = predict, most_tokens, most_waiting
        self._lock = threading.Condition()  # for all that follows
        self._requests: set[Request[Answer]] = set()
        self._turns: dict[Request[Answer], None] = {}  # those with texts that wait, in the order of their turns
        self._texts: list[Text[Answer]] = []  # that wait, by length
        self.alive = True
        queue.set_function(lambda: len(self._texts))
        for number in range(threads):
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True).start()

    def admit(self) -> None:
        """Raises QueueFull or Stopped: what a request would get, before it does any work for its texts."""
        if not self.alive:
            raise Stopped
        if len(self._texts) >= self._most_waiting:
            rejected.inc()
            raise QueueFull

    async def __call__(self, texts: list[Tokens]) -> list[Answer]:
        """Raises QueueFull, Stopped, or what `predict` raises of a batch with one of the texts. When it is cancelled,
        its texts leave the queue."""
        if not texts:
            return []
        request: Request[Answer] = Request(texts)
        with self._lock:
            self.admit()
            self._requests.add(request)
            self._turns[request] = None
            for text in request.waiting:
                insort(self._texts, text, key=by_length)
            self._lock.notify(len(texts))
        try:
            return await request.answered
        finally:
            with self._lock:
                self._requests.remove(request)
                if self._turns.pop(request, self) is None:
                    self._texts = [text for text in self._texts if text.request is not request]

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._texts)
                    batch = self._next_batch()
                try:
                    answers = self._answers(batch)
                except Exception as error:
                    for request in {text.request for text in batch}:
                        request.tell(request.fail, error)
                else:
                    batch[0].request.tell(self._hand_back, batch, answers)
        finally:  # no Exception comes here: this thread is dying
            with self._lock:
                self.alive = False
                for request in self._requests:
                    request.tell(request.fail, Stopped())

    def _next_batch(self) -> list[Text[Answer]]:
        """The next text of the request whose turn it is, and the texts nearest to it in length."""
        first = next(iter(next(iter(self._turns)).waiting))
        low = self._texts.index(first, bisect_left(self._texts, first.length, key=by_length))
        high = low + 1
        while near := [at for at in (low - 1, high) if 0 <= at < len(self._texts)]:
            at = min(near, key=lambda at: abs(self._texts[at].length - first.length))
            longest = max(self._texts[at].length, self._texts[high - 1].length)
            if abs(self._texts[at].length - first.length) > SPARE or longest * (high - low + 1) > self._most_tokens:
                break
            low, high = min(low, at), max(high, at + 1)
        batch = self._texts[low:high]
        del self._texts[low:high]
        for text in batch:
            del text.request.waiting[text]
            if not text.request.waiting:
                del self._turns[text.request]
        if first.request.waiting:
            self._turns[first.request] = self._turns.pop(first.request)  # to the end of the line
        return batch

    def _answers(self, batch: Sequence[Text[Answer]]) -> list[Answer]:
        now, tokens = perf_counter(), batch[-1].length * len(batch)
        size.observe(tokens)
        padding.inc(tokens - sum(text.length for text in batch))
        for text in batch:
            wait.observe(now - text.request.arrived)
        return self._predict([text.tokens for text in batch])

    @staticmethod
    def _hand_back(batch: Sequence[Text[Answer]], answers: Sequence[Answer]) -> None:
        for text, answer in zip(batch, answers, strict=True):
            request = text.request
            request.answers[text.place] = answer
            request.missing -= 1
            if not request.missing and not request.answered.done():
                request.answered.set_result(request.answers)  # type: ignore[arg-type] # none is missing
