"""Ray Serve with request batching: https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html

WORKERS is the number of replicas, each a process (default: 1).
"""

import os
from typing import Any

from ray import serve  # type: ignore[import-not-found] # it is in an environment of its own
from starlette.requests import Request

from bench.rivals.onnx_model import Model


@serve.deployment(num_replicas=int(os.environ.get("WORKERS", "1")), max_ongoing_requests=64)
class Sentiment:
    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=32)  # type: ignore[untyped-decorator]
    async def predict(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        return self.model(texts)

    async def __call__(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        return {"predictions": [await self.predict(body["text"][0])]}


app = Sentiment.bind()  # type: ignore[attr-defined]
