"""final_project: sentiment analysis by a transformer, with micro-batching and overload control."""

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import accumulate, groupby
from typing import Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from .batcher import Batcher
from .cache import Cache
from .errors import exception_handler
from .fair_queue import Tokens
from .fast_route import FastRoute
from .limits import BodyLimits
from .metrics import PrometheusMiddleware, model_info
from .model import SentimentModel
from .overload import PREDICT_ERRORS, UNAVAILABLE, run_until
from .schemas import Predictions, Texts
from .settings import get_settings
from .shutdown import ConnectionDraining

CHARACTERS_PER_TOKEN = 4  # of English texts
settings = get_settings()
if settings.log_level:
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(settings.log_level)
model = SentimentModel(settings.model_dir)
batcher = Batcher(model.predict, settings.inference_threads, settings.batch_tokens, settings.max_queue_seconds)
tokenizer_thread = ThreadPoolExecutor(1, "tokenizer")  # not asyncio's pool: a DNS server that hangs fills it


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    probe = asyncio.create_task(cache.run()) if cache else None
    yield
    if probe:
        probe.cancel()
        await asyncio.wait([probe], timeout=1)  # it closes the connections; if Redis hangs, the service stops anyway


def shed_unread() -> bool:
    """Whether a request can be rejected before it is read. With a cache it cannot: its texts may be hits."""
    overloaded = batcher.alive and batcher.queue_seconds() > settings.max_queue_seconds
    return overloaded and not (cache and cache.circuit_closed)


app = FastAPI(
    title="final_project",
    version="7.0.0",
    lifespan=lifespan,
    telemetry={"tracing": False, "metrics": False, "logs": False},  # otherwise each request looks for OpenTelemetry
    redirect_slashes=False,  # redirects use http://, even behind a TLS proxy
    exception_handlers=dict.fromkeys((RequestValidationError, HTTPException, Exception), exception_handler),
)
app.router.route_class = FastRoute
app.add_middleware(BodyLimits, max_body_bytes=settings.max_body_bytes, shed=shed_unread)
app.add_middleware(ConnectionDraining, drain_seconds=settings.drain_seconds)
app.add_middleware(PrometheusMiddleware)
model_info.info({"sha256": model.sha256, "service_version": app.version})

scores = b",".join(rb'\{"label":%s,"score":[01]\.\d{1,4}\}' % re.escape(to_json(label)) for label in model.labels)
valid_value = re.compile(rb"\[" + scores + rb"\]")
prefix = f"{app.title}:{app.version}:{model.sha256[:12]}"  # another version or model may compute another value
cache = Cache(settings.redis_url, prefix, settings.cache_ttl_seconds, valid_value) if settings.redis_url else None


class Service(BaseModel):
    name: str = Field(description="Name of the service", examples=["final_project"])
    version: str = Field(description="Version of the service", examples=["7.0.0"])
    paths: list[str] = Field(description="Paths to try", examples=[["/predict"]])
    inference_threads: int = Field(description="Threads that run the model", examples=[2])


class Health(BaseModel):
    status: Literal["ok"] = Field(description="The service responds to requests", examples=["ok"])
    timestamp: str = Field(description="Time of the response, UTC", examples=["2026-11-22T21:04:05.123456+00:00"])


async def infer(texts: list[str]) -> list[bytes]:
    """The JSON of each text's scores. A thread tokenizes long requests in parts: others run in between."""
    batcher.admit()  # before the texts are tokenized
    characters = sum(map(len, texts))
    if characters < 2_000:  # at most 10 ms, whatever they are
        return await batcher([tuple(tokens) for tokens in model.encode(texts)])
    loop, encoded = asyncio.get_running_loop(), list[Tokens]()
    with batcher.reserve(characters // CHARACTERS_PER_TOKEN):
        for _, part in groupby(zip(texts, accumulate(map(len, texts)), strict=True), lambda pair: pair[1] // 20_000):
            tokens = await loop.run_in_executor(tokenizer_thread, model.encode, [text for text, _ in part])
            encoded += map(tuple, tokens)
    return await batcher(encoded)


@app.post("/predict", summary="Classify texts", response_model=Predictions, responses=PREDICT_ERRORS)
async def predict(batch: Texts, request: Request) -> Response:
    async def compute(texts: list[str]) -> list[bytes]:
        return await run_until(infer(texts), request.receive, settings.deadline_seconds)

    if cache:
        values, hits = await cache.get(batch.text, compute)
        headers = {"x-cache-hits": str(hits), "x-cache-misses": str(len(values) - hits)}
    else:
        values, headers = await compute(batch.text), {}
    return Response(b'{"predictions":[' + b",".join(values) + b"]}", 200, headers, "application/json")


app.routes.insert(0, app.routes.pop())  # the router tries /predict before /docs


@app.get("/", summary="Describe the service")
async def root() -> Service:
    paths = ["/health", "/health/live", "/health/ready", "/predict", "/metrics", "/docs"]
    return Service(name=app.title, version=app.version, paths=paths, inference_threads=settings.inference_threads)


@app.get("/health/live", summary="Report whether the inference threads run", responses=UNAVAILABLE)
async def live() -> Health:
    if not batcher.alive:
        raise HTTPException(503, "An inference thread died")
    return Health(status="ok", timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))


@app.get("/health/ready", summary="Report whether the service accepts requests", responses=UNAVAILABLE)
@app.get("/health", summary="Report that the service is up", responses=UNAVAILABLE)
async def ready(request: Request) -> Health:
    if request.state.draining:
        raise HTTPException(503, "The service shuts down")
    return await live()


@app.get("/metrics", summary="Return the metrics in Prometheus' text format", response_class=PlainTextResponse)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


gc.set_threshold(700, 10, 1_000)  # rare full collections: with 3,000 connections, each takes 0.1 s
gc.freeze()  # collections skip the objects that exist by now: 1.3 times as many hits (bench.techniques)
