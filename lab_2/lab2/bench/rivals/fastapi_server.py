"""Plain FastAPI, as its tutorial shows it: a pydantic model and a `def` route.

https://fastapi.tiangolo.com/tutorial/body/ and https://fastapi.tiangolo.com/deployment/manually/
"""

from pathlib import Path

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(Path(__file__).parents[2] / "model_pipeline.pkl")
app = FastAPI()


class BlockGroup(BaseModel):
    MedInc: float
    HouseAge: float
    AveRooms: float
    AveBedrms: float
    Population: float
    AveOccup: float
    Latitude: float
    Longitude: float


class Batch(BaseModel):
    data: list[BlockGroup]


@app.post("/predict")
def predict(batch: Batch) -> dict[str, list[float]]:
    rows = [list(block_group.model_dump().values()) for block_group in batch.data]
    return {"predictions": model.predict(rows).tolist()}
