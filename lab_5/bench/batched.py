"""lab_4's service with the final project's batcher before its pipeline: `uvicorn bench.batched:app`, in lab_4's
environment. Block groups that wait are predicted in one call, up to 32 of them."""

import numpy as np
from finalproject.batcher import Batcher
from numpy.typing import NDArray
from src import main
from src.metrics import measured

FEATURES, MOST = 8, 32

predict = measured(main.model.predict)
batcher = Batcher(lambda rows: predict(np.array(rows)), threads=1, most_tokens=MOST * FEATURES, most_waiting=100_000)


async def worker(rows: NDArray[np.float64]) -> list[float]:
    prices: list[float] = await batcher(list(rows))
    return prices


main.worker = worker
app = main.app
