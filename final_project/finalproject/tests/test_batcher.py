"""The queue and its threads, with a `predict` of the test's own: whose turn it is, and who gets what."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from prometheus_client import REGISTRY

from finalproject.batcher import SPARE, Batcher, QueueFull, Stopped, Tokens

Outcome = TypeVar("Outcome")


def text(length: int, mark: int = 0) -> Tokens:
    return [mark] * length


class Held:
    """Answers length and first token of each text, a batch whenever it may, and remembers what it was asked."""

    def __init__(self, batches: int = 0) -> None:
        self.asked: list[list[Tokens]] = []
        self.may = threading.Semaphore(batches)

    def __call__(self, texts: list[Tokens]) -> list[tuple[int, int]]:
        self.asked.append(texts)
        assert self.may.acquire(timeout=30)
        return [(len(tokens), tokens[0]) for tokens in texts]

    def go(self, batches: int = 10**6) -> None:
        self.may.release(batches)


def running(use: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    return asyncio.run(asyncio.wait_for(use(), 60))


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within half a minute")


async def outcomes(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def sample(name: str) -> float:
    value = REGISTRY.get_sample_value(name)
    assert value is not None
    return value


async def busy(
    held: Held, tokens: int = 96, waiting: int = 10**6
) -> tuple[Batcher[tuple[int, int]], asyncio.Task[Any]]:
    """A batcher of one thread, which is held with a first text."""
    batcher = Batcher(held, 1, tokens, waiting)
    first = asyncio.create_task(batcher([text(7)]))
    await until(lambda: len(held.asked) == 1)
    return batcher, first


def test_idle_a_text_runs_at_once_and_alone() -> None:
    async def use() -> None:
        held = Held()
        _, first = await busy(held)
        assert held.asked == [[text(7)]]
        assert sample("batcher_waiting") == 0
        held.go()
        assert await first == [(7, 0)]

    running(use)


def test_no_texts_have_no_answers_and_are_not_predicted() -> None:
    async def use() -> None:
        held = Held()
        assert await Batcher(held, 1, 96, 1_000)([]) == []
        assert held.asked == []

    running(use)


def test_predict_runs_in_threads_of_its_own_and_the_loop_goes_on() -> None:
    async def use() -> None:
        names: set[str] = set()
        together = threading.Barrier(3)

        def name(texts: list[Tokens]) -> list[int]:
            together.wait(30)
            names.add(threading.current_thread().name)
            return [0] * len(texts)

        batcher = Batcher(name, 3, 1, 1_000)
        await batcher([text(1), text(2), text(3)])
        assert names == {"inference-0", "inference-1", "inference-2"}

    running(use)


def test_a_batch_is_of_like_length_and_within_the_budget() -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held)
        lengths = [1 + number * 67 % 60 for number in range(600)]
        calls = [asyncio.create_task(batcher([text(length)])) for length in lengths]
        await until(lambda: sample("batcher_waiting") == 600)
        held.go()
        assert await asyncio.gather(*calls) == [[(length, 0)] for length in lengths]
        batches = [[len(tokens) for tokens in batch] for batch in held.asked[1:]]
        assert sorted(length for batch in batches for length in batch) == sorted(lengths)
        assert all(len(batch) == 1 or max(batch) * len(batch) <= 96 for batch in batches)
        assert all(max(batch) - min(batch) <= 2 * SPARE for batch in batches)
        assert len(batches) < 400, "what waits is batched"
        await first

    running(use)


def test_a_batch_takes_the_nearest_in_length_up_to_the_budget() -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held, tokens=30)
        calls = [asyncio.create_task(batcher([text(length)])) for length in (10, 40, 9, 12, 2, 25)]
        await until(lambda: sample("batcher_waiting") == 6)
        held.go()
        await asyncio.gather(first, *calls)
        lengths = [[len(tokens) for tokens in batch] for batch in held.asked[1:]]
        assert lengths == [[9, 10], [40], [12], [2], [25]]

    running(use)


def test_texts_that_differ_by_more_than_padding_is_worth_are_not_batched() -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held, tokens=1_000)
        calls = [asyncio.create_task(batcher([text(length)])) for length in (20, 20 + SPARE, 21 + SPARE, 19 - SPARE)]
        await until(lambda: sample("batcher_waiting") == 4)
        held.go()
        await asyncio.gather(first, *calls)
        assert [[len(tokens) for tokens in batch] for batch in held.asked[1:3]] == [[20, 20 + SPARE], [21 + SPARE]]

    running(use)


@pytest.mark.parametrize("length", [5, 500], ids=["short", "long"])
def test_a_request_of_a_thousand_texts_does_not_starve_single_ones(length: int) -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held)
        thousand = asyncio.create_task(batcher([text(length)] * 1_000))
        await until(lambda: sample("batcher_waiting") == 1_000)
        singles = [asyncio.create_task(batcher([text(40 + 20 * number)])) for number in range(5)]
        await until(lambda: sample("batcher_waiting") == 1_005)
        held.go(1 + 10)  # turns: the first, then one of the thousand and one of a single, and so on
        assert await asyncio.gather(*singles) == [[(40 + 20 * number, 0)] for number in range(5)]
        assert not thousand.done()
        assert sample("batcher_waiting") > 700
        held.go()
        assert await thousand == [(length, 0)] * 1_000
        await first

    running(use)


def test_two_large_requests_take_turns() -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held, tokens=10)
        calls = [asyncio.create_task(batcher([text(10, mark)] * 20)) for mark in (1, 2)]
        await until(lambda: sample("batcher_waiting") == 40)
        held.go()
        await asyncio.gather(first, *calls)
        marks = [batch[0][0] for batch in held.asked[1:]]
        assert all(abs(marks[:n].count(1) - marks[:n].count(2)) <= 1 for n in range(40))

    running(use)


@pytest.mark.parametrize("more", [1, 500])
def test_when_as_many_wait_as_may_a_request_is_refused_and_below_that_admitted_whole(more: int) -> None:
    async def use() -> None:
        held = Held()
        before = sample("batcher_rejected_total")
        batcher, first = await busy(held, waiting=1_000)
        one = asyncio.create_task(batcher([text(1)] * 999))
        await until(lambda: sample("batcher_waiting") == 999)
        whole = asyncio.create_task(batcher([text(2)] * more))
        await until(lambda: sample("batcher_waiting") == 999 + more)
        with pytest.raises(QueueFull):
            batcher.admit()
        with pytest.raises(QueueFull):
            await batcher([text(1)])
        assert sample("batcher_rejected_total") - before == 2
        held.go()
        assert [len(answers) for answers in await asyncio.gather(first, one, whole)] == [1, 999, more]
        assert await batcher([text(3)]) == [(3, 0)]

    running(use)


def test_texts_of_a_cancelled_request_leave_the_queue_and_are_never_predicted() -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held)
        stays = asyncio.create_task(batcher([text(5, 1), text(50, 1)]))
        leaves = asyncio.create_task(batcher([text(5, 2), text(50, 2)] * 100))
        late = asyncio.create_task(batcher([text(5, 3)]))
        await until(lambda: sample("batcher_waiting") == 203)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        assert sample("batcher_waiting") == 3
        held.go()
        assert await outcomes(first, stays, late) == [[(7, 0)], [(5, 1), (50, 1)], [(5, 3)]]
        assert {tokens[0] for batch in held.asked for tokens in batch} == {0, 1, 3}

    running(use)


def test_a_request_that_is_cancelled_in_the_middle_of_its_batch_takes_nobody_along() -> None:
    async def use() -> None:
        held = Held()
        batcher, first = await busy(held, tokens=20)
        leaves, stays = (asyncio.create_task(batcher([text(5, mark)] * 2)) for mark in (1, 2))
        await until(lambda: sample("batcher_waiting") == 4)
        held.go(1)
        await until(lambda: len(held.asked) == 2)
        assert {tokens[0] for tokens in held.asked[1]} == {1, 2}
        leaves.cancel()
        held.go()
        assert await stays == [(5, 2)] * 2
        assert (await outcomes(leaves, first))[1:] == [[(7, 0)]]

    running(use)


def test_what_predict_raises_gets_who_was_in_the_batch_and_nobody_else() -> None:
    async def use() -> None:
        def predict(texts: list[Tokens]) -> list[int]:
            if any(tokens[0] == 13 for tokens in texts):
                raise ZeroDivisionError
            return [len(tokens) for tokens in texts]

        batcher = Batcher(predict, 1, 96, 1_000)
        for _ in range(3):
            bad, good, mixed = await outcomes(
                batcher([text(5, 13)]), batcher([text(100)]), batcher([text(200), text(300, 13), text(400)])
            )
            assert [type(bad), good, type(mixed)] == [ZeroDivisionError, [100], ZeroDivisionError]
            assert await batcher([text(5), text(9)]) == [5, 9]
        assert batcher.alive
        await until(lambda: sample("batcher_waiting") == 0)

    running(use)


def test_who_shares_the_batch_that_fails_fails_with_it() -> None:
    async def use() -> None:
        held = Held()

        def predict(texts: list[Tokens]) -> list[tuple[int, int]]:
            answers = held(texts)
            if len(held.asked) > 1:
                raise StopIteration  # which a future would refuse
            return answers

        batcher = Batcher(predict, 1, 96, 1_000)
        first = asyncio.create_task(batcher([text(7)]))
        await until(lambda: len(held.asked) == 1)
        both = [asyncio.create_task(batcher([text(5)])) for _ in range(2)]
        await until(lambda: sample("batcher_waiting") == 2)
        held.go(1)
        await until(lambda: len(held.asked) == 2)
        held.go()
        failed = await asyncio.wait_for(outcomes(*both), 30)
        assert [isinstance(outcome, Exception) for outcome in failed] == [True, True]
        await outcomes(first)

    running(use)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_when_a_thread_dies_who_waits_and_who_comes_later_gets_stopped(end: type[BaseException]) -> None:
    async def use() -> None:
        held = Held()

        def predict(texts: list[Tokens]) -> list[tuple[int, int]]:
            held(texts)
            raise end

        others = set(threading.enumerate())
        batcher = Batcher(predict, 1, 96, 1_000)
        (thread,) = set(threading.enumerate()) - others
        calls = [asyncio.create_task(batcher([text(9)] * number)) for number in (1, 20, 300)]
        await until(lambda: len(held.asked) == 1 and sample("batcher_waiting") >= 300)
        assert batcher.alive
        held.go()
        assert [type(outcome) for outcome in await outcomes(*calls)] == [Stopped] * 3
        assert not batcher.alive
        with pytest.raises(Stopped):
            batcher.admit()
        with pytest.raises(Stopped):
            await batcher([text(1)])
        thread.join(30)  # so that what it dies of is told in this test, and not in the next

    running(use)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_answers_are_those_of_the_texts_in_order(threads: int) -> None:
    """Against what `predict` says of each text alone; a fifth of the requests leave."""

    def predict(texts: list[Tokens]) -> list[int]:
        return [hash(tuple(tokens)) for tokens in texts]

    async def use() -> None:
        chance = random.Random(threads)  # noqa: S311 - no secret
        batcher = Batcher(predict, threads, 96, 10**6)
        requests = [
            [
                [chance.randrange(1000) for _ in range(chance.randint(1, 120))]
                for _ in range(chance.choice([1, 1, 2, 40]))
            ]
            for _ in range(200)
        ]
        calls = []
        for request in requests:
            calls.append(asyncio.create_task(batcher(request)))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        gone = chance.sample(range(200), 40)
        for number in gone:
            calls[number].cancel()
        found = await outcomes(*calls)
        for number, (request, answers) in enumerate(zip(requests, found, strict=True)):
            if not isinstance(answers, asyncio.CancelledError):
                assert answers == [predict([tokens])[0] for tokens in request]
            else:
                assert number in gone
        assert sample("batcher_waiting") == 0

    running(use)


def test_a_loop_that_closes_with_texts_in_hand_does_not_end_the_threads() -> None:
    held = Held()
    batcher = Batcher(held, 1, 96, 1_000)

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher([text(5)] * 100), 0.2)

    asyncio.run(leave())
    held.go()

    async def later() -> None:
        assert await batcher([text(6)]) == [(6, 0)]

    running(later)
    assert batcher.alive


def test_tokens_padding_and_waiting_are_counted() -> None:
    async def use() -> None:
        names = (
            "batch_tokens_sum",
            "batch_tokens_count",
            "padding_tokens_total",
            "wait_seconds_count",
            "wait_seconds_sum",
        )
        before = [sample(f"batcher_{name}") for name in names]
        held = Held()
        batcher, first = await busy(held)
        calls = [asyncio.create_task(batcher([text(length)])) for length in (10, 12, 14, 50)]
        await until(lambda: sample("batcher_waiting") == 4)
        await asyncio.sleep(0.1)
        held.go()
        await asyncio.gather(first, *calls)
        tokens, batches, padding, waits, waited = (
            sample(f"batcher_{name}") - was for name, was in zip(names, before, strict=True)
        )
        assert (tokens, batches, padding, waits) == (7 + 3 * 14 + 50, 3, 4 + 2, 5)
        assert waited >= 0.4

    running(use)
