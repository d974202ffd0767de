"""Plain FastAPI, as its tutorial shows it: a pydantic model and a `def` route, which runs in a thread pool.

https://fastapi.tiangolo.com/tutorial/body/ and https://fastapi.tiangolo.com/async/
WORKERS limits the threads of the pool (default: 40). It has no batching.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from pydantic import BaseModel

from bench.rivals.onnx_model import Model

model = Model()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    if "WORKERS" in os.environ:
        anyio.to_thread.current_default_thread_limiter().total_tokens = int(os.environ["WORKERS"])
    yield


app = FastAPI(lifespan=lifespan)


class Texts(BaseModel):
    text: list[str]


@app.post("/predict")
def predict(texts: Texts) -> dict[str, Any]:
    return {"predictions": model(texts.text)}
