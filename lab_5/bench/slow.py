"""lab_4's service with a slower model: `uvicorn bench.slow:app`, in its environment. A call of the model takes at least
MILLISECONDS. It repeats the call of the pipeline, because a larger model computes, too, and does not sleep."""

import os
from time import perf_counter

from src import main
from src.schemas import BlockGroup

SECONDS = float(os.environ["MILLISECONDS"]) / 1e3
predict = main.model.predict


def slow_predict(block_groups: list[BlockGroup]) -> list[float]:
    end = perf_counter() + SECONDS
    values: list[float] = predict(block_groups)
    while perf_counter() < end:
        predict(block_groups)
    return values


main.model.predict = slow_predict
app = main.app
