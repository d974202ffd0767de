"""lab_4's service with the final project's batcher before its pipeline: `uvicorn bench.batched:app`, in lab_4's
environment. Block groups that wait are predicted in one call, up to 32 of them."""

from operator import attrgetter

import numpy as np
from finalproject.batcher import Batcher
from src import main
from src.schemas import Batch, BlockGroup, Predictions

MAX_ITEMS = 32
features = attrgetter(*BlockGroup.model_fields)
app = main.app


def infer(rows: list[tuple[float, ...]]) -> list[float]:
    main.inference_batch_size.observe(len(rows))
    with main.inference_duration.time():
        return list(map(float, main.model._pipeline.predict(np.array(rows))))


batcher = Batcher(infer, threads=1, most_tokens=MAX_ITEMS * len(BlockGroup.model_fields), most_waiting=100_000)


async def predict(batch: Batch) -> Predictions:
    return Predictions(predictions=await batcher(list(map(features, batch.data))))


app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") != "/predict"]
app.post("/predict")(predict)
