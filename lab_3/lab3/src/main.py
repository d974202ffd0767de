"""lab_3: the service of lab_2 with a Redis cache, one entry per block group."""

import gc
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, FiniteFloat

from .body import from_json, route_class
from .cache import Cache
from .drain import Drain
from .errors import FAILED, INVALID, TOO_LARGE, failed, invalid
from .model import HousingModel, features
from .schemas import Batch, BlockGroup, Predictions
from .settings import read_settings
from .worker import Worker

settings = read_settings()
if settings.log_level:
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(settings.log_level)
model = HousingModel(settings.model_path)
worker = Worker(model.predict)
gc.freeze()  # what is here by now stays: to look it through again and again takes near half the time of parsing


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    if cache:
        await cache.close()


app = FastAPI(
    title="lab_3",
    version="3.0.0",
    lifespan=lifespan,
    exception_handlers={RequestValidationError: invalid, Exception: failed},
)
app.add_middleware(Drain, seconds=settings.drain_seconds)
app.router.route_class = route_class(settings.max_body_bytes)
prefix = f"{app.title}:{model.digest[:12]}"
cache: Cache[BlockGroup, float] | None = None
if settings.redis_url:
    cache = Cache(settings.redis_url, prefix, FiniteFloat, settings.cache_ttl_seconds)


class Service(BaseModel):
    name: str = Field(description="Name of the service", examples=["lab_3"])
    version: str = Field(description="Version of the service", examples=["3.0.0"])
    paths: list[str] = Field(description="Paths worth trying", examples=[["/hello?name=Ada"]])


class Greeting(BaseModel):
    message: str = Field(description="The greeting", examples=["Hello Ada"])


class Health(BaseModel):
    status: Literal["ok"] = Field(description="The service answers", examples=["ok"])
    timestamp: str = Field(
        description="Time of the answer, ISO 8601, UTC", examples=["2026-11-22T21:04:05.123456+00:00"]
    )


@app.get("/", summary="What this service is")
async def root() -> Service:
    return Service(name=app.title, version=app.version, paths=["/hello?name=Ada", "/health", "/predict", "/docs"])


@app.get("/hello", summary="Greet somebody", responses=INVALID)
async def hello(
    name: Annotated[str, Query(min_length=1, description="Whom to greet, echoed as sent", examples=["Ada"])],
) -> Greeting:
    return Greeting(message=f"Hello {name}")


@app.get("/health", summary="Is the service up?")
async def health() -> Health:
    return Health(status="ok", timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))


async def predicted(block_groups: Sequence[BlockGroup]) -> list[float]:
    return await worker(features(block_groups))


@app.post("/predict", summary="Median house values of block groups", responses=INVALID | TOO_LARGE | FAILED)
async def predict(batch: Annotated[Batch, from_json(Batch, most_fields=90_000)], response: Response) -> Predictions:
    if not cache:
        return Predictions(predictions=await predicted(batch.data))
    prices, hits = await cache.get(batch.data, predicted)
    response.headers["x-cache-hits"], response.headers["x-cache-misses"] = str(hits), str(len(prices) - hits)
    return Predictions(predictions=prices)
