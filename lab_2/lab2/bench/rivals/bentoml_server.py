"""BentoML with its defaults: one worker process. https://docs.bentoml.com/en/latest/build-with-bentoml/services.html"""

from pathlib import Path

import bentoml  # type: ignore[import-not-found] # it is in an environment of its own
import joblib

NAMES = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")


@bentoml.service(logging={"access": {"enabled": False}})  # as in the other servers
class Housing:
    def __init__(self) -> None:
        self.model = joblib.load(Path(__file__).parents[2] / "model_pipeline.pkl")

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, data: list[dict[str, float]]) -> dict[str, list[float]]:
        rows = [[row[name] for name in NAMES] for row in data]
        return {"predictions": self.model.predict(rows).tolist()}
