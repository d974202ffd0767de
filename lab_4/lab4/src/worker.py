"""Keeps the model off the event loop: one thread, and as few changes between it and the loop as can be.

scikit-learn's trees hold the interpreter lock, so loop and thread take turns, and each change of turns costs time. All
calls of one turn of the loop are therefore handed over together, made one by one, and their results come back together.
The lab's README tells what that brings; it costs a small call the time of a large one in its turn.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Worker(Generic[Argument, Result]):
    """`await worker(argument)` is `function(argument)`, or what it raises, from the worker's thread; for one loop."""

    def __init__(self, function: Callable[[Argument], Result]) -> None:
        self._function = function
        self._waiting: list[tuple[asyncio.Future[Result], Argument]] = []
        self._turns: SimpleQueue[list[tuple[asyncio.Future[Result], Argument]]] = SimpleQueue()
        threading.Thread(target=self._work, name="model", daemon=True).start()

    async def __call__(self, argument: Argument) -> Result:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._hand_over)
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((future, argument))
        return await future

    def _hand_over(self) -> None:
        self._turns.put(self._waiting)
        self._waiting = []

    def _work(self) -> None:
        while True:
            turn = self._turns.get()
            settled = [(future, self._outcome(future, argument)) for future, argument in turn]
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                turn[0][0].get_loop().call_soon_threadsafe(self._hand_back, settled)

    def _outcome(self, future: asyncio.Future[Result], argument: Argument) -> Callable[[], None]:
        try:
            return partial(future.set_result, self._function(argument))
        except Exception as error:
            # a future refuses StopIteration, and the rest of the turn would wait for ever
            return partial(future.set_exception, RuntimeError(error) if isinstance(error, StopIteration) else error)

    @staticmethod
    def _hand_back(settled: list[tuple[asyncio.Future[Result], Callable[[], None]]]) -> None:
        for future, settle in settled:
            if not future.done():  # its caller has gone
                settle()
