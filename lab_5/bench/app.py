"""lab_4's service, slower or with micro-batching. uvicorn runs `bench.app:app` in lab_4's environment.

MODEL_MS (0) is the minimum time of a model call. The call is repeated: a larger model computes, and does not sleep.
MAX_BATCH (1) is the maximum number of block groups in a model call. Above 1, requests that arrive together share a
call, without the cache. The batcher of the final project also has a bounded queue and a deadline.
"""

import asyncio
import os
from time import perf_counter

from src import main
from src.schemas import Batch, BlockGroup, Predictions

min_seconds = float(os.environ.get("MODEL_MS", "0")) / 1e3
max_batch = int(os.environ.get("MAX_BATCH", "1"))
app, predict = main.app, main.model.predict
pending: list[tuple[BlockGroup, asyncio.Future[float]]] = []


def slow_predict(block_groups: list[BlockGroup]) -> list[float]:
    end = perf_counter() + min_seconds
    values: list[float] = predict(block_groups)
    while perf_counter() < end:
        predict(block_groups)
    return values


def predict_pending() -> None:
    batch = pending[:max_batch]
    del pending[:max_batch]
    if pending:
        asyncio.get_running_loop().call_soon(predict_pending)
    values = main.infer([block_group for block_group, _ in batch])
    for (_, future), value in zip(batch, values, strict=True):
        future.set_result(value)


async def predict_batched(batch: Batch) -> Predictions:
    loop = asyncio.get_running_loop()
    if not pending:  # the event loop calls it after all requests that have already arrived
        loop.call_soon(predict_pending)
    futures: list[asyncio.Future[float]] = [loop.create_future() for _ in batch.data]
    pending.extend(zip(batch.data, futures, strict=True))
    return Predictions(predictions=await asyncio.gather(*futures))


main.model.predict = slow_predict
if max_batch > 1:
    app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") != "/predict"]
    app.post("/predict")(predict_batched)
