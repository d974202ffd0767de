"""lab_4's service with the final project's batcher before its pipeline: `uvicorn bench.batched:app`, in lab_4's
environment. Block groups that wait are predicted in one call, up to 32 of them; equal ones are computed once."""

import sys
from collections.abc import Sequence
from math import inf
from operator import attrgetter

import numpy as np
from finalproject import metrics
from finalproject.batcher import Batcher
from prometheus_client import generate_latest

metrics.instrument = lambda app, *_: app.add_middleware(metrics.PrometheusMiddleware)
sys.modules["src.metrics"] = metrics  # it defines lab_4's metrics, too, and a process can register each only once

from src import main  # noqa: E402
from src.schemas import Batch, BlockGroup, Predictions  # noqa: E402

MAX_ITEMS = 32
features = attrgetter(*BlockGroup.model_fields)
app = main.app


def infer(rows: Sequence[tuple[float, ...]]) -> list[float]:
    return list(map(float, main.model._pipeline.predict(np.array(rows))))


batcher = Batcher(infer, threads=1, batch_tokens=MAX_ITEMS * len(BlockGroup.model_fields), max_seconds=inf)


async def predict(batch: Batch) -> Predictions:
    return Predictions(predictions=await batcher(list(map(features, batch.data))))


app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") != "/predict"]
app.post("/predict")(predict)
app.get("/metrics")(lambda: main.Response(generate_latest()))
