"""The batches of the queue, and their order: texts of similar length, and fair queueing between requests."""

import pytest

from tests.held import HeldModel, busy, outcomes, start, text, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_batch_has_texts_of_similar_length_and_at_most_144_tokens_with_padding() -> None:
    model = HeldModel()
    batcher = await busy(model)
    texts = [text(1 + number * 67 % 60, number) for number in range(600)] + [text(500)]
    requests = await start(batcher, *([tokens] for tokens in texts))
    model.release()
    assert await outcomes(requests) == [[tokens] for tokens in texts]
    batches = [[len(tokens) for tokens in batch] for batch in model.batches]
    assert all(max(batch) * len(batch) <= 144 for batch in batches if len(batch) > 1)
    assert all(max(batch) - min(batch) <= 8 for batch in batches)
    assert len(batches) < 200


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
    model = HeldModel()
    batcher = await busy(model, batch_tokens)
    requests = await start(batcher, *([text(length)] for length in lengths))
    model.release()
    await outcomes(requests)
    assert [[len(tokens) for tokens in batch] for batch in model.batches[1:]] == batches


async def test_single_texts_overtake_requests_of_1_000_texts() -> None:
    model = HeldModel()
    batcher = await busy(model)
    large = await start(batcher, *([text(5 + n % 3, n + first) for n in range(1_000)] for first in (0, 1_000)))
    model.release(20)
    await until(lambda: len(model.batches) == 21)
    singles = [text(40 + 20 * number) for number in range(5)]
    requests = await start(batcher, *([tokens] for tokens in singles))
    model.release(1 + 5 + 2)  # the batch that is computed now, those of the single texts, and one of each large request
    assert await outcomes(requests) == [[tokens] for tokens in singles]
    assert not any(request.done() for request in large)


async def test_requests_get_equal_numbers_of_tokens_per_time() -> None:
    model = HeldModel()
    batcher = await busy(model)
    short, long = [text(10, number) for number in range(200)], [text(100, number) for number in range(20)]
    requests = await start(batcher, short, long)
    model.release()
    await outcomes(requests)
    difference = 0
    for batch in model.batches[1:-1]:
        difference += sum(map(len, batch)) * (1 if len(batch[0]) == 10 else -1)
        assert abs(difference) <= 2 * 144


async def test_request_of_many_texts_is_not_starved_by_a_stream_of_single_texts() -> None:
    """10 single texts wait at any time, so the other request gets a share of 1/11 of the tokens."""
    model = HeldModel()
    batcher = await busy(model)
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
