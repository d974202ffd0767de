"""The service as it would be with asyncio's own way to a thread, for `bench.load` to compare."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from src import main

app = main.app
executor = ThreadPoolExecutor(1)


async def in_executor(rows: NDArray[np.float64]) -> list[float]:
    return await asyncio.get_running_loop().run_in_executor(executor, main.model.predict, rows)


main.worker = in_executor  # type: ignore[assignment]
