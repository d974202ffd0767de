"""The batcher with its threads and its fair queue: results, batches and their order, single-flight, failures, and
admission."""

import asyncio
import random
import time
from math import inf
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from finalproject import batcher as batcher_module
from finalproject import fair_queue
from finalproject.batcher import MARGIN, Batcher
from finalproject.fair_queue import Tokens
from tests.conftest import sample
from tests.held import HeldModel, busy, outcomes, start, text, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("threads", [1, 2, 5])
async def test_requests_get_their_own_results_in_order_while_others_are_cancelled(threads: int) -> None:
    """300 requests with texts that other requests contain, too."""

    def predict(batch: list[Tokens]) -> list[Tokens]:
        time.sleep(0.001)
        return list(batch)

    chance = random.Random(threads)  # noqa: S311 - not a secret
    batcher = Batcher(predict, threads, 144, inf)
    sizes = [chance.choice([1, 1, 2, 40]) for _ in range(300)]
    requests = [[text(chance.randint(1, 90), chance.randrange(9)) for _ in range(size)] for size in sizes]
    tasks: list[asyncio.Task[Any]] = []
    for request in requests:
        tasks += await start(batcher, request)
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
            await asyncio.sleep(0.001)
    results = await outcomes(tasks)
    wrong = [result for request, result in zip(requests, results, strict=True) if result != request]
    assert set(wrong) == {asyncio.CancelledError}
    assert 0 < len(wrong) < 300
    await until(lambda: not batcher._queue.texts)
    assert (sample("batcher_queue_texts"), sample("batcher_estimated_queue_seconds")) == (0, 0)


# Batches, and their order


@pytest.mark.parametrize(
    ("batch_tokens", "lengths", "batches"),
    [
        (30, [10, 40, 9, 12, 2, 25], [[10, 9], [40], [12], [2], [25]]),
        (36, [10, 40, 9, 12, 2, 25], [[10, 9, 12], [40], [2], [25]]),
        (999, [20, 24, 25, 16, 15], [[20, 24, 16], [25], [15]]),
    ],
)
async def test_batch_is_the_next_text_with_the_next_ones_that_differ_by_at_most_4_tokens(
    batch_tokens: int, lengths: list[int], batches: list[list[int]]
) -> None:
    batcher = await busy(model := HeldModel(), batch_tokens)
    requests = await start(batcher, *([text(length)] for length in lengths))
    model.release()
    await outcomes(requests)
    assert [[len(tokens) for tokens in batch] for batch in model.batches[1:]] == batches


async def test_single_texts_overtake_requests_of_1_000_texts() -> None:
    batcher = await busy(model := HeldModel())
    large = await start(batcher, *([text(5 + n % 3, n + first) for n in range(1_000)] for first in (0, 1_000)))
    model.release(20)
    await until(lambda: len(model.batches) == 21)
    singles = [text(40 + 20 * number) for number in range(5)]
    requests = await start(batcher, *([tokens] for tokens in singles))
    model.release(1 + 5 + 2)  # the batch that is computed now, those of the single texts, and one of each large request
    assert await outcomes(requests) == [[tokens] for tokens in singles]
    assert not any(request.done() for request in large)


async def test_requests_get_equal_numbers_of_tokens_per_time() -> None:
    batcher = await busy(model := HeldModel())
    requests = await start(batcher, [text(10, number) for number in range(200)], [text(100, n) for n in range(20)])
    model.release()
    await outcomes(requests)
    difference = 0
    for batch in model.batches[1:-1]:
        difference += sum(map(len, batch)) * (1 if len(batch[0]) == 10 else -1)
        assert abs(difference) <= 2 * 144


async def test_request_of_many_texts_is_not_starved_by_a_stream_of_single_texts() -> None:
    """10 single texts wait at any time, so the other request gets a share of 1/11 of the tokens."""
    batcher = await busy(model := HeldModel())
    (many,) = await start(batcher, [text(20, number) for number in range(20)])
    singles = await start(batcher, *([text(60, number)] for number in range(9)))
    for number in range(60):  # 11/144 of its 400 tokens are 31 batches
        singles += await start(batcher, [text(60, 9 + 2 * number)], [text(60, 10 + 2 * number)])
        model.release(1)
        await until(lambda: len(model.batches) == number + 2)  # noqa: B023
    await until(many.done)
    assert sum(not single.done() for single in singles) > 10
    model.release()
    await outcomes(singles)


async def test_texts_of_one_request_wake_all_idle_threads() -> None:
    batcher = Batcher(model := HeldModel(), 2, 1, inf)
    requests = await start(batcher, [text(5), text(90)])
    await until(lambda: len(model.batches) == 2)
    model.release()
    await outcomes(requests)


# Single-flight, and failures


@pytest.mark.parametrize("leaver", [None, 0, 1])
@pytest.mark.parametrize("runs", [False, True], ids=["waits", "is computed"])
async def test_text_that_several_requests_contain_is_computed_once_and_cancelling_one_changes_nothing_for_the_others(
    runs: bool, leaver: int | None
) -> None:
    batcher = await busy(model := HeldModel())
    shared, own, before = text(9), [text(50, 0), text(50, 1)], sample("batcher_shared_texts_total")
    texts = [[shared, own[0], shared], [shared, own[1]]]
    requests = await start(batcher, *texts[: 1 if runs else 2])
    if runs:
        model.release(1)
        await until(lambda: model.batches[1:] == [[shared]])
        requests += await start(batcher, texts[1])
    assert sample("batcher_shared_texts_total") - before == 2
    if leaver is not None:
        requests[leaver].cancel()
        await asyncio.sleep(0)
    model.release()
    expected: list[Any] = [asyncio.CancelledError if number == leaver else texts[number] for number in (0, 1)]
    assert await outcomes(requests) == expected
    remaining = [tokens for number, tokens in enumerate(own) if number != leaver]
    assert sorted(model.texts[1:]) == sorted([shared, *remaining])
    assert await batcher([shared]) == [shared]
    assert model.texts.count(shared) == 2  # the batcher is no cache


@pytest.mark.parametrize("single_first", [False, True])
async def test_text_that_1_000_of_another_client_contain_is_computed_as_early_as_an_unshared_one(
    single_first: bool,
) -> None:
    batcher = await busy(model := HeldModel())
    thousand = [text(5 + number % 50, number) for number in range(1_000)]
    shared = thousand[940]
    requests = await start(batcher, *([[shared], thousand] if single_first else [thousand, [shared]]))
    model.release(2 if single_first else 3)
    assert await outcomes([requests[not single_first]]) == [[shared]]
    assert not requests[single_first].done()
    model.release()
    assert await outcomes([requests[single_first]]) == [thousand]
    assert model.texts.count(shared) == 1


@pytest.mark.parametrize(("error", "raised"), [(ZeroDivisionError, ZeroDivisionError), (StopIteration, RuntimeError)])
async def test_failing_batch_fails_the_requests_in_it_and_no_others(
    error: type[Exception], raised: type[Exception]
) -> None:
    bad, fails = text(300, 13), True

    def predict(batch: list[Tokens]) -> list[Tokens]:
        if bad in batch and fails:
            raise error
        return list(batch)

    batcher = await busy(model := HeldModel(predict), batch_tokens=1_000)
    requests = await start(batcher, [bad], [text(299)], [text(100)], [text(10), bad, text(400), text(450)])
    model.release(4)  # the first text, [bad, text(299)], text(100) and text(10)
    assert await outcomes(requests) == [raised, raised, [text(100)], raised]
    await until(lambda: sample("batcher_queue_texts") == 0)
    fails = False
    model.release()
    assert await outcomes(await start(batcher, [text(10), bad])) == [[text(10), bad]]  # the failure is not stored
    assert text(450) not in model.texts
    assert batcher.alive


# Admission. Before its first batch, a batcher expects 10,000 tokens/s in a thread, and 25 tokens a text.


async def test_request_of_1_000_texts_is_admitted_whole_or_rejected_whole() -> None:
    batcher = await busy(model := HeldModel(), max_seconds=MARGIN)
    large = [[text(9, number + first) for number in range(1_000)] for first in (1_000, 2_000, 3_000)]
    requests = await start(batcher, *large, [text(400)])  # behind 0, 9,000 and 18,000 tokens, and behind 400 of each
    assert sample("batcher_queue_texts") == 2_001
    model.release()
    assert await outcomes(requests) == [*large[:2], 429, [text(400)]]
    assert len(model.texts) == 1 + 2_001


@pytest.mark.parametrize("threads", [1, 2])
async def test_request_is_rejected_when_the_estimated_queueing_time_is_above_the_limit(threads: int) -> None:
    batcher = await busy(HeldModel(), max_seconds=MARGIN, threads=threads)
    await start(batcher, *([text(3, number)] for number in range(400 * threads)))
    assert sample("batcher_estimated_queue_seconds") == MARGIN
    batcher.admit()
    await start(batcher, [text(4)])
    assert sample("batcher_estimated_queue_seconds") > MARGIN
    with pytest.raises(HTTPException) as error:
        batcher.admit()
    assert (error.value.status_code, error.value.headers) == (429, {"Retry-After": "1"})


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
    assert await outcomes(requests) == [[text(140)], [text(90)], 429]
    assert sample("batcher_queue_seconds_sum") - before == pytest.approx(2 + 2 + 1.4)
