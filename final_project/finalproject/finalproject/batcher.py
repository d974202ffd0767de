"""Micro-batching: threads take batches of texts from a fair queue, and run the model on each batch in one call.

An idle thread takes what waits; it does not wait for a batch to fill. Single-flight: a text that several requests
contain is computed once, and each of them gets its result as soon as it is computed.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from time import perf_counter
from typing import Any

from starlette.exceptions import HTTPException

from . import metrics
from .fair_queue import FairQueue, Request, Text, Tokens
from .overload import QUEUE_FULL, RETRY_AFTER, THREAD_DIED

DECAY = 0.95  # the rate is that of the last 20 batches
MARGIN = 1.5  # of 100 requests, 99 wait at most this factor longer than the mean


class Batcher:
    """`await batcher(texts)` returns `predict(texts)`, computed in one of the threads. For one event loop."""

    def __init__(
        self, predict: Callable[[list[Tokens]], Sequence[Any]], threads: int, batch_tokens: int, max_seconds: float
    ) -> None:
        self._predict, self._threads, self._max_seconds = predict, threads, max_seconds
        self._lock = threading.Condition()  # for all that follows
        self._queue = FairQueue(batch_tokens)
        self._reserved: list[int] = []  # tokens of requests whose texts are tokenized
        self._seconds, self._tokens, self._count = 0.1, 1_000.0, 40.0  # of the last batches; before the first, a guess
        self.alive = True
        metrics.queue_texts.set_function(lambda: len(self._queue.waiting))
        metrics.estimated_queue_seconds.set_function(self.queue_seconds)
        for number in range(threads):
            threading.Thread(target=self._run, name=f"inference-{number}", daemon=True).start()

    def queue_seconds(self, tokens: int | None = None) -> float:
        """The estimated queueing time of a new request with so many tokens, by default one text of average length. The
        default takes 1 us, whatever the length of the queue."""
        waiting = self._queue.waiting_tokens
        if tokens is None:
            before = (len(waiting) + len(self._reserved)) * self._tokens / self._count
        else:  # before this request is complete, each other request gets as many tokens as this one
            before = sum(map(min, chain(waiting.values(), self._reserved), repeat(tokens)))
        return MARGIN * before * self._seconds / self._tokens / self._threads

    def admit(self, tokens: int | None = None) -> None:
        """Raises a HTTPException: 429 if the queue is full, 503 if an inference thread died."""
        if not self.alive:
            raise HTTPException(503, THREAD_DIED, RETRY_AFTER)
        if self.queue_seconds(tokens) > self._max_seconds:
            raise HTTPException(429, QUEUE_FULL, RETRY_AFTER)

    @contextmanager
    def reserve(self, tokens: int) -> Iterator[None]:
        """Counts as a waiting request, while its texts are tokenized. Raises as `admit`."""
        with self._lock:
            self.admit(tokens)
            self._reserved.append(tokens)
        try:
            yield
        finally:
            with self._lock:
                self._reserved.remove(tokens)

    async def __call__(self, texts: list[Tokens]) -> list[Any]:
        """Raises as `admit`, or what `predict` raises for a batch with one of the texts. If it is cancelled, the texts
        that no other request contains leave the queue."""
        if not texts:
            return []
        request, self._loop = Request(len(texts)), asyncio.get_running_loop()
        with self._lock:
            self.admit(sum(map(len, texts)))
            metrics.shared_texts.inc(self._queue.add(request, texts))
            self._lock.notify(len(texts))
        try:
            return await request.future
        finally:
            with self._lock:
                self._queue.remove(request)

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._queue.waiting)
                    batch = self._queue.take()
                self._compute(batch)
        finally:  # no Exception of the model comes here: this thread is dying
            with self._lock:
                self.alive = False
                died = HTTPException(503, THREAD_DIED, RETRY_AFTER)
                self._call_soon(deliver, list(self._queue.texts.values()), [died] * len(self._queue.texts))

    def _compute(self, batch: list[Text]) -> None:
        start, tokens = perf_counter(), sum(text.length for text in batch)
        padded_tokens = max(text.length for text in batch) * len(batch)
        metrics.batch_tokens.observe(padded_tokens)
        metrics.padding_tokens.inc(padded_tokens - tokens)
        for text in batch:
            metrics.queue_duration.observe(start - text.arrival)
        metrics.inference_batch_size.observe(len(batch))
        try:
            with metrics.inference_duration.time():
                results = self._predict([text.tokens for text in batch])
        except Exception as error:  # fails the requests of this batch only; the server logs the traceback
            results = [error] * len(batch)
        with self._lock:
            for text in batch:
                del self._queue.texts[text.tokens]
            self._seconds = DECAY * self._seconds + perf_counter() - start
            self._tokens = DECAY * self._tokens + tokens
            self._count = DECAY * self._count + len(batch)
        self._call_soon(deliver, batch, results)

    def _call_soon(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed: no request waits
            self._loop.call_soon_threadsafe(function, *arguments)


def deliver(batch: list[Text], results: Sequence[Any]) -> None:
    for text, result in zip(batch, results, strict=True):
        for request, place in text.requests:
            request.deliver(place, result)
