"""The service with two more routes, which call the same model in a thread. `bench.routes` compares the three."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from src.main import app, model
from src.schemas import Batch, Predictions

executor = ThreadPoolExecutor(max_workers=1)


@app.post("/predict/run_in_executor")
async def predict_in_executor(batch: Batch) -> Predictions:
    loop = asyncio.get_running_loop()
    return Predictions(predictions=await loop.run_in_executor(executor, model.predict, batch.data))


@app.post("/predict/def")
def predict_in_thread_pool(batch: Batch) -> Predictions:  # FastAPI runs a `def` route in its thread pool
    return Predictions(predictions=model.predict(batch.data))
