"""The batcher with its threads: results, single-flight, failures and admission."""

import asyncio
import random
import threading
import time
from math import inf
from typing import Any

import pytest
from prometheus_client import REGISTRY

from finalproject import batcher as batcher_module
from finalproject import fair_queue
from finalproject.batcher import MARGIN, Batcher
from finalproject.fair_queue import Tokens
from finalproject.overload import InferenceStopped, QueueFull
from tests.held import HeldModel, busy, outcomes, start, text, until

pytestmark = pytest.mark.anyio
THOUSAND = [text(5 + number % 50, number) for number in range(1_000)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def sample(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0


async def test_idle_thread_computes_a_text_at_once_and_no_texts_are_not_computed() -> None:
    model = HeldModel()
    batcher = await busy(model)
    assert await batcher([]) == []
    assert model.batches == [[text(7)]]


async def test_batches_are_computed_in_as_many_threads_as_requested() -> None:
    all_three = threading.Barrier(3)

    def predict(batch: list[Tokens]) -> list[str]:
        all_three.wait(30)
        return [threading.current_thread().name]

    names = await Batcher(predict, 3, 1, 1)([text(1), text(2), text(3)])
    assert sorted(names) == ["inference-0", "inference-1", "inference-2"]


@pytest.mark.parametrize("threads", [1, 2, 5])
async def test_requests_get_their_own_results_in_order_while_others_are_cancelled(threads: int) -> None:
    """300 requests with texts that other requests contain, too."""

    def predict(batch: list[Tokens]) -> list[Tokens]:
        time.sleep(0.001)
        return list(batch)

    chance = random.Random(threads)  # noqa: S311 - not a secret
    batcher = Batcher(predict, threads, 144, inf)
    requests = [
        [text(chance.randint(1, 90), chance.randrange(9)) for _ in range(chance.choice([1, 1, 2, 40]))]
        for _ in range(300)
    ]
    tasks: list[asyncio.Task[Any]] = []
    for request in requests:
        tasks += await start(batcher, request)
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
            await asyncio.sleep(0.001)
    results = await outcomes(tasks)
    wrong = [result for request, result in zip(requests, results, strict=True) if result != request]
    assert {type(result) for result in wrong} == {asyncio.CancelledError}
    assert 20 < len(wrong) < 200
    await until(lambda: not batcher._texts)
    assert (sample("batcher_queue_texts"), sample("batcher_estimated_queue_seconds")) == (0, 0)


@pytest.mark.parametrize("runs", [False, True], ids=["waits", "is computed"])
async def test_text_that_is_requested_while_it_waits_or_is_computed_is_computed_once(runs: bool) -> None:
    model = HeldModel()
    batcher = await busy(model)
    shared = text(7) if runs else text(9)
    before = sample("batcher_shared_texts_total")
    requests = await start(batcher, [shared], [shared, text(30), shared], [shared])
    model.release()
    assert await outcomes(requests) == [[shared], [shared, text(30), shared], [shared]]
    assert model.texts.count(shared) == 1
    assert sample("batcher_shared_texts_total") - before == (4 if runs else 3)
    assert await batcher([shared]) == [shared]
    assert model.texts.count(shared) == 2  # the batcher is no cache


@pytest.mark.parametrize("runs", [False, True], ids=["waits", "is computed"])
@pytest.mark.parametrize("leaver", [0, 1])
async def test_request_that_is_cancelled_changes_nothing_for_the_others(leaver: int, runs: bool) -> None:
    model = HeldModel()
    batcher = await busy(model)
    shared, own = text(9), [text(50, 0), text(50, 1)]
    requests = await start(batcher, [shared, own[0]], [shared, own[1]])
    if runs:
        model.release(1)
        await until(lambda: model.batches[1:] == [[shared]])
    requests[leaver].cancel()
    await asyncio.sleep(0)
    model.release()
    assert (await outcomes(requests))[1 - leaver] == [shared, own[1 - leaver]]
    assert sorted(model.texts[1:]) == sorted([shared, own[1 - leaver]])


@pytest.mark.parametrize("single_first", [False, True])
async def test_text_that_1_000_of_another_client_contain_is_computed_as_early_as_an_unshared_one(
    single_first: bool,
) -> None:
    async def batches_before(tokens: Tokens) -> int:
        model = HeldModel()
        batcher = await busy(model)
        requests = [THOUSAND, [tokens]]
        tasks = await start(batcher, *(reversed(requests) if single_first else requests))
        single, thousand = tasks if single_first else reversed(tasks)
        while not single.done():
            count = len(model.batches)
            model.release(1)
            await until(lambda: len(model.batches) > count or single.done())  # noqa: B023
        assert not thousand.done()
        model.release()
        assert await outcomes([single, thousand]) == [[tokens], THOUSAND]
        return next(number for number, batch in enumerate(model.batches) if tokens in batch)

    shared = THOUSAND[940]
    unshared = text(len(shared), 1_000)
    assert await batches_before(shared) == await batches_before(unshared) == (1 if single_first else 2)


@pytest.mark.parametrize("error", [ZeroDivisionError, StopIteration])
async def test_failing_batch_fails_the_requests_in_it_and_no_others(error: type[Exception]) -> None:
    bad, fails = text(300, 13), True

    def predict(batch: list[Tokens]) -> list[Tokens]:
        if bad in batch and fails:
            raise error
        return list(batch)

    model = HeldModel(predict)
    batcher = await busy(model, batch_tokens=1_000)
    requests = await start(batcher, [bad], [text(299)], [text(100)], [text(10), bad, text(400), text(450)])
    model.release(4)  # the first text, [bad, text(299)], text(100) and text(10)
    failed, neighbour, other, several = await outcomes(requests)
    assert [isinstance(result, Exception) for result in (failed, neighbour, several)] == [True] * 3
    assert other == [text(100)]
    await until(lambda: sample("batcher_queue_texts") == 0)
    fails = False
    model.release()
    assert await outcomes(await start(batcher, [text(10), bad])) == [[text(10), bad]]  # the failure is not stored
    assert text(450) not in model.texts
    assert batcher.alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_inference_thread_that_dies_fails_all_requests(error: type[BaseException]) -> None:
    def predict(_: list[Tokens]) -> list[Tokens]:
        raise error

    model, threads = HeldModel(predict), set(threading.enumerate())
    batcher = Batcher(model, 1, 144, inf)
    (thread,) = set(threading.enumerate()) - threads
    requests = await start(batcher, [text(7)], [text(7)], THOUSAND)
    assert batcher.alive
    model.release()
    results = await outcomes(requests)
    assert not batcher.alive
    results += await outcomes(await start(batcher, [text(7)], [text(1)]))
    assert [type(result) for result in results] == [InferenceStopped] * 5
    thread.join(30)  # its warning belongs to this test


def test_thread_survives_an_event_loop_that_closes() -> None:
    model = HeldModel()
    batcher = asyncio.run(busy(model))
    model.release()
    assert asyncio.run(batcher([text(6)])) == [text(6)]


# Admission. Before its first batch, a batcher expects 10,000 tokens/s in a thread, and 25 tokens a text.


async def test_request_of_1_000_texts_is_admitted_whole_or_rejected_whole() -> None:
    model = HeldModel()
    batcher = await busy(model, max_seconds=MARGIN)
    large = [[text(9, number + first) for number in range(1_000)] for first in (1_000, 2_000, 3_000)]
    requests = await start(batcher, *large, [text(400)])  # behind 0, 9,000 and 18,000 tokens, and behind 400 of each
    assert sample("batcher_queue_texts") == 2_001
    model.release()
    first, second, third, single = await outcomes(requests)
    assert ([first, second], single) == (large[:2], [text(400)])
    assert isinstance(third, QueueFull)
    assert len(model.texts) == 1 + 2_001


@pytest.mark.parametrize("threads", [1, 2])
async def test_request_is_rejected_when_the_estimated_queueing_time_is_above_the_limit(threads: int) -> None:
    batcher = await busy(HeldModel(), max_seconds=MARGIN, threads=threads)
    await start(batcher, *([text(3, number)] for number in range(400 * threads)))
    assert sample("batcher_estimated_queue_seconds") == MARGIN
    batcher.admit()
    await start(batcher, [text(4)])
    assert sample("batcher_estimated_queue_seconds") > MARGIN
    with pytest.raises(QueueFull):
        batcher.admit()


async def test_estimate_follows_the_rate_of_the_last_batches_and_queueing_times_are_observed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the clock of the test, the model computes 100 tokens/s."""
    clock = 0.0

    def predict(batch: list[Tokens]) -> list[Tokens]:
        nonlocal clock
        clock += sum(map(len, batch)) / 100
        return list(batch)

    for module in (batcher_module, fair_queue):
        monkeypatch.setattr(module, "perf_counter", lambda: clock)
    batcher = Batcher(model := HeldModel(predict), 1, 144, max_seconds=MARGIN)
    model.release(200)
    for number in range(200):
        await batcher([text(10, number)])
    await start(batcher, [text(200)])
    await until(lambda: len(model.batches) == 201)
    before = sample("batcher_queue_seconds_sum")
    requests = await start(batcher, [text(140)], [text(90)], [text(140, 1)])  # behind 0, 90 and 230 tokens
    assert sample("batcher_estimated_queue_seconds") == pytest.approx(0.2 * MARGIN, abs=0.01)  # 2 requests of 10 tokens
    model.release()
    assert [type(result) for result in await outcomes(requests)] == [list, list, QueueFull]
    assert sample("batcher_queue_seconds_sum") - before == pytest.approx(2 + 2 + 1.4)
