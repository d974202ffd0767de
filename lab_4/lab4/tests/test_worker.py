"""The model's thread: every caller gets its own result or its own exception, and nobody else's."""

import asyncio
import threading

import pytest

from src.worker import Worker


def invert(number: int) -> float:
    return 1 / number


def test_an_exception_that_a_future_refuses_keeps_nobody_waiting() -> None:
    def stop(_: int) -> float:
        raise StopIteration

    async def callers() -> tuple[float | BaseException, float | BaseException]:
        worker = Worker(stop)
        return await asyncio.wait_for(asyncio.gather(worker(1), worker(2), return_exceptions=True), 30)

    assert [type(outcome) for outcome in asyncio.run(callers())] == [RuntimeError, RuntimeError]


class Held:
    """A function that does not return before it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, number: int) -> float:
        assert self.go.wait(30)
        return invert(number)


def test_the_function_runs_in_a_thread_of_its_own() -> None:
    def name(_: int) -> str:
        return threading.current_thread().name

    async def caller() -> str:
        return await Worker(name)(0)

    assert asyncio.run(caller()) == "model"


def test_each_caller_gets_its_own_result_or_exception() -> None:
    async def callers() -> list[float | BaseException]:
        worker = Worker(invert)
        return await asyncio.gather(*(worker(number) for number in (1, 0, 2, 0, 4)), return_exceptions=True)

    first, second, third, fourth, fifth = asyncio.run(callers())
    assert (first, third, fifth) == (1, 0.5, 0.25)
    assert isinstance(second, ZeroDivisionError)
    assert isinstance(fourth, ZeroDivisionError)


def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    held = Held()

    async def callers() -> float:
        worker = Worker(held)
        leaves, stays = asyncio.ensure_future(worker(1)), asyncio.ensure_future(worker(2))
        await asyncio.sleep(0.05)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        held.go.set()
        return await asyncio.wait_for(stays, 30)

    assert asyncio.run(callers()) == 0.5


def test_the_loop_goes_on_while_the_function_works() -> None:
    held = Held()

    async def callers() -> float:
        waiting = asyncio.ensure_future(Worker(held)(4))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        held.go.set()
        return await waiting

    assert asyncio.run(callers()) == 0.25


def test_a_loop_that_closes_with_calls_in_hand_does_not_end_the_thread() -> None:
    held = Held()
    worker = Worker(held)

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker(1), 0.05)

    asyncio.run(leave())
    held.go.set()
    assert asyncio.run(asyncio.wait_for(worker(2), 30)) == 0.5
