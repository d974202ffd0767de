"""lab_4: the service of lab_3 with metrics for Prometheus."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from .cache import Cache
from .errors import BODY_ERRORS, INVALID, exception_handler
from .limits import BodyLimits
from .metrics import inference_batch_size, inference_duration, instrument
from .model import HousingModel
from .schemas import Batch, BlockGroup, Predictions
from .settings import get_settings
from .shutdown import ConnectionDraining

settings = get_settings()
if settings.log_level:
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(settings.log_level)
model = HousingModel(settings.model_path)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    probe = asyncio.create_task(cache.run()) if cache else None
    yield
    if probe:
        probe.cancel()


app = FastAPI(
    title="lab_4",
    version="4.1.0",
    lifespan=lifespan,
    redirect_slashes=False,  # redirects use http://, even behind a TLS proxy
    max_body_size=settings.max_body_bytes,
    exception_handlers=dict.fromkeys((RequestValidationError, HTTPException, Exception), exception_handler),
)
app.add_middleware(BodyLimits)
app.add_middleware(ConnectionDraining, drain_seconds=settings.drain_seconds)

prefix = f"{app.title}:{app.version}:{model.sha256[:12]}"  # another version or model may compute another value
cache = Cache(settings.redis_url, prefix, settings.cache_ttl_seconds) if settings.redis_url else None
instrument(app, model.sha256, cache)


class Service(BaseModel):
    name: str = Field(description="Name of the service", examples=["lab_4"])
    version: str = Field(description="Version of the service", examples=["4.1.0"])
    paths: list[str] = Field(description="Paths to try", examples=[["/hello?name=Ada"]])


class Greeting(BaseModel):
    message: str = Field(description="The greeting", examples=["Hello Ada"])


class Health(BaseModel):
    status: Literal["ok"] = Field(description="The service responds to requests", examples=["ok"])
    timestamp: str = Field(description="Time of the response, UTC", examples=["2026-11-22T21:04:05.123456+00:00"])


@app.get("/", summary="Describe the service")
async def root() -> Service:
    paths = ["/hello?name=Ada", "/health", "/predict", "/metrics", "/docs"]
    return Service(name=app.title, version=app.version, paths=paths)


@app.get("/hello", summary="Greet a person", responses=INVALID)
async def hello(name: Annotated[str, Query(min_length=1, description="Name to greet", examples=["Ada"])]) -> Greeting:
    return Greeting(message=f"Hello {name}")


@app.get("/health", summary="Report that the service is up")
async def health() -> Health:
    return Health(status="ok", timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))


@inference_duration.time()
def infer(block_groups: list[BlockGroup]) -> list[float]:
    inference_batch_size.observe(len(block_groups))
    return model.predict(block_groups)


@app.post("/predict", summary="Predict median house values of block groups", responses=INVALID | BODY_ERRORS)
async def predict(batch: Batch, response: Response) -> Predictions:
    if not cache:
        return Predictions(predictions=infer(batch.data))
    predictions, hits = await cache.get(batch.data, infer)
    response.headers.update({"x-cache-hits": str(hits), "x-cache-misses": str(len(predictions) - hits)})
    return Predictions(predictions=predictions)
