"""LitServe with its defaults: one worker process. https://lightning.ai/docs/litserve/api-reference/litapi"""

import os
from pathlib import Path
from typing import Any

import joblib
import litserve  # type: ignore[import-not-found] # it is in an environment of its own
import numpy as np

NAMES = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")
Array = np.ndarray[Any, Any]


class Housing(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.model = joblib.load(Path(__file__).parents[2] / "model_pipeline.pkl")

    def decode_request(self, request: dict[str, Any]) -> Array:
        return np.array([[row[name] for name in NAMES] for row in request["data"]])

    def predict(self, rows: Array) -> Array:
        prices: Array = self.model.predict(rows)
        return prices

    def encode_response(self, prices: Array) -> dict[str, list[float]]:
        return {"predictions": prices.tolist()}


if __name__ == "__main__":
    litserve.LitServer(Housing()).run(port=int(os.environ["LITSERVE_PORT"]), host="127.0.0.1", log_level="warning")
