"""final_project: sentiment analysis by a transformer behind a micro-batching queue."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from .batcher import Batcher, QueueFull, Stopped
from .body import from_json, route_class
from .cache import Cache
from .drain import Drain
from .errors import FAILED, INVALID, TOO_LARGE, failed, invalid
from .metrics import instrument, measured
from .model import SentimentModel
from .patience import BUSY, NOT_READY, given_up, while_wanted
from .schemas import Predictions, Score, Texts
from .settings import read_settings

settings = read_settings()
if settings.log_level:
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(settings.log_level)
model = SentimentModel(settings.model_dir)
batcher = Batcher(
    measured(model.predict), settings.inference_threads, settings.batch_tokens, most_waiting=settings.queue_texts
)
gc.freeze()  # what is here by now stays: to look it through again and again takes near half the time of parsing


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    if cache:
        await cache.close()


app = FastAPI(
    title="final_project",
    version="6.0.0",
    lifespan=lifespan,
    exception_handlers={
        RequestValidationError: invalid,
        Exception: failed,
        **dict.fromkeys((QueueFull, Stopped, TimeoutError, ClientDisconnect), given_up),
    },
)
app.add_middleware(Drain, seconds=settings.drain_seconds)
app.router.route_class = route_class(settings.max_body_bytes)
prefix = f"{app.title}:{model.digest[:12]}"
cache: Cache[str, list[Score]] | None = None
if settings.redis_url:
    cache = Cache(settings.redis_url, prefix, list[Score], settings.cache_ttl_seconds)
instrument(app, model.digest, cache)


class Service(BaseModel):
    name: str = Field(description="Name of the service", examples=["final_project"])
    version: str = Field(description="Version of the service", examples=["6.0.0"])
    paths: list[str] = Field(description="Paths worth trying", examples=[["/hello?name=Ada"]])
    inference_threads: int = Field(description="Threads that run the model", examples=[2])


class Greeting(BaseModel):
    message: str = Field(description="The greeting", examples=["Hello Ada"])


class Health(BaseModel):
    status: Literal["ok"] = Field(description="The service answers", examples=["ok"])
    timestamp: str = Field(
        description="Time of the answer, ISO 8601, UTC", examples=["2026-11-22T21:04:05.123456+00:00"]
    )


@app.get("/", summary="What this service is")
async def root() -> Service:
    return Service(
        name=app.title,
        version=app.version,
        paths=["/hello?name=Ada", "/health", "/health/live", "/health/ready", "/predict", "/metrics", "/docs"],
        inference_threads=settings.inference_threads,
    )


@app.get("/hello", summary="Greet somebody", responses=INVALID)
async def hello(
    name: Annotated[str, Query(min_length=1, description="Whom to greet, echoed as sent", examples=["Ada"])],
) -> Greeting:
    return Greeting(message=f"Hello {name}")


@app.get("/health/live", summary="Do its threads live? If not, start it again", responses=NOT_READY)
async def live() -> Health:
    if not batcher.alive:
        raise HTTPException(503, "An inference thread has died")
    return Health(status="ok", timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))


@app.get("/health/ready", summary="Should it get requests?", responses=NOT_READY)
@app.get("/health", summary="Is the service up?", responses=NOT_READY)
async def ready(request: Request) -> Health:
    if getattr(request.state, "leaving", False):
        raise HTTPException(503, "The service is about to stop")
    return await live()


async def predicted(texts: list[str]) -> list[list[Score]]:
    batcher.admit()
    if sum(map(len, texts)) < 20_000:  # characters: 10 ms, on the event loop
        return await batcher(model.encode(texts))
    return await batcher(await asyncio.to_thread(model.encode, texts))


async def answer(texts: list[str], response: Response) -> Predictions:
    if not cache:
        return Predictions(predictions=await predicted(texts))
    scores, hits = await cache.get(texts, predicted)
    response.headers["x-cache-hits"], response.headers["x-cache-misses"] = str(hits), str(len(scores) - hits)
    return Predictions(predictions=scores)


@app.post("/predict", summary="The sentiment of texts", responses=INVALID | TOO_LARGE | FAILED | BUSY)
async def predict(
    batch: Annotated[Texts, from_json(Texts, most_fields=90_000)], request: Request, response: Response
) -> Predictions:
    return await while_wanted(request, answer(batch.text, response), settings.deadline_seconds)


app.routes.insert(0, app.routes.pop())  # tried before the others, which takes a twentieth off a hit
