"""LitServe with batching: https://lightning.ai/docs/litserve/features/batching

WORKERS is the number of worker processes (default: 1).
"""

import os
from typing import Any

import litserve  # type: ignore[import-not-found] # it is in an environment of its own

from bench.rivals.onnx_model import Model


class Sentiment(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.model = Model()

    def decode_request(self, request: dict[str, Any]) -> str:
        return str(request["text"][0])

    def predict(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        return self.model(texts)

    def encode_response(self, scores: list[dict[str, Any]]) -> dict[str, Any]:
        return {"predictions": [scores]}


if __name__ == "__main__":
    api = Sentiment(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ.get("WORKERS", "1")))
    server.run(port=int(os.environ["PORT"]), host="127.0.0.1", log_level="warning", generate_client_file=False)
