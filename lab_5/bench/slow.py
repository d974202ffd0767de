"""lab_4's service with a slower model: `uvicorn bench.slow:app`, in its environment. A call of the model takes at least
MILLISECONDS, in which the pipeline is asked again and again: it is work, as a larger model's would be, and no sleep."""

import os
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from src import main
from src.metrics import measured
from src.worker import Worker

SECONDS = float(os.environ["MILLISECONDS"]) / 1e3


def predict(rows: NDArray[np.float64]) -> list[float]:
    end = perf_counter() + SECONDS
    prices: list[float] = main.model.predict(rows)
    while perf_counter() < end:
        main.model.predict(rows)
    return prices


main.worker = Worker(measured(predict))
app = main.app
