"""BentoML with adaptive batching: https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html

WORKERS is the number of worker processes (default: 1).
"""

import os
from typing import Any

import bentoml  # type: ignore[import-not-found] # it is in an environment of its own

from bench.rivals.onnx_model import Model


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")), logging={"access": {"enabled": False}})
class Sentiment:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def predict(self, text: list[str]) -> list[list[dict[str, Any]]]:
        return self.model(text)
