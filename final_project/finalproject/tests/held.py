"""Batchers whose model computes a batch when the test allows it, so that the batches and their order are certain."""

import asyncio
import threading
from collections.abc import Callable
from math import inf
from typing import Any

from finalproject.batcher import Batcher
from finalproject.fair_queue import Tokens


def text(length: int, name: int = 0) -> Tokens:
    return (name,) + (0,) * (length - 1)


class HeldModel:
    """Returns `predict(batch)`, by default the batch itself. It records the batches that it gets, and holds each one
    until it is released."""

    def __init__(self, predict: Callable[[list[Tokens]], list[Any]] = list) -> None:
        self.batches: list[list[Tokens]] = []
        self._predict, self._released, self._condition = predict, 0.0, threading.Condition()

    def __call__(self, batch: list[Tokens]) -> list[Any]:
        with self._condition:
            self.batches.append(batch)
            assert self._condition.wait_for(lambda: self._released, timeout=20)
            self._released -= 1
        return self._predict(batch)

    def release(self, batches: float = inf) -> None:
        with self._condition:
            self._released = batches
            self._condition.notify_all()

    @property
    def texts(self) -> list[Tokens]:
        return [tokens for batch in self.batches for tokens in batch]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - threads change it
            await asyncio.sleep(0.001)


async def busy(model: HeldModel, batch_tokens: int = 144, max_seconds: float = inf, threads: int = 1) -> Batcher:
    """A batcher whose threads each compute one text of 7 tokens."""
    batcher = Batcher(model, threads, batch_tokens, max_seconds)
    for number in range(threads):
        await start(batcher, [text(7, number)])
        await until(lambda: len(model.batches) == number + 1)  # noqa: B023
    return batcher


async def start(batcher: Batcher, *requests: list[Tokens]) -> list[asyncio.Task[Any]]:
    """The requests, after their texts are in the queue."""
    tasks = [asyncio.create_task(batcher(texts)) for texts in requests]
    await asyncio.sleep(0)
    return tasks


async def outcomes(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    """The result of each request, or the status code or the type of its exception."""
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return [getattr(r, "status_code", type(r)) if isinstance(r, BaseException) else r for r in results]
