"""What the service tells Prometheus, at GET /metrics."""

from collections.abc import Callable, Iterator, Sized
from time import perf_counter
from typing import Any, TypeVar

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .cache import Cache

# seconds: a hit takes 1 ms, a block group that is computed 2, 10,000 of them 400, and who waits for a loaded pod longer
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
Items = TypeVar("Items", bound=Sized)
Predictions = TypeVar("Predictions")

BY = ("handler", "method", "status")
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
requests = Counter("http_requests", "Requests", BY)
request_time = Histogram(
    "http_request_duration_seconds", "Time from the request to the end of its answer", BY, buckets=SECONDS
)
prediction_time = Histogram("model_inference_duration_seconds", "Time of one call of the model", buckets=SECONDS)
batch_size = Histogram(
    "model_inference_batch_size", "Items in one call of the model", buckets=(1, 2, 5, 10, 50, 100, 500, 1000, 5000)
)
model = Info("model", "The model that answers")


class Measured:
    """ASGI middleware. It reads the route that the router has found; the libraries look for it once more, which takes a
    tenth of a hit's time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, start = 500, perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            # Clients cannot add values of labels: each new value would add time series, which stay in memory.
            handler = scope["route"].path if "route" in scope else "unmatched"
            by = (handler, scope["method"] if scope["method"] in METHODS else "other", status)
            requests.labels(*by).inc()
            request_time.labels(*by).observe(perf_counter() - start)


class CacheCounts(Collector):
    """The cache counts; this reads its counters when Prometheus asks."""

    def __init__(self, cache: Cache[Any, Any]) -> None:
        self._cache = cache

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily("cache_hits", "Items that came from Redis", self._cache.hits)
        yield CounterMetricFamily("cache_misses", "Items that did not", self._cache.misses)
        yield CounterMetricFamily("cache_errors", "Items that Redis failed to give or take", self._cache.errors)


def measured(predict: Callable[[Items], Predictions]) -> Callable[[Items], Predictions]:
    def measure(items: Items) -> Predictions:
        batch_size.observe(len(items))
        with prediction_time.time():
            return predict(items)

    return measure


def instrument(app: FastAPI, digest: str, cache: Cache[Any, Any] | None) -> None:
    """Counts and times the requests of `app` by route, method and status, and adds GET /metrics to it."""
    model.info({"sha256": digest, "service_version": app.version})
    if cache:
        REGISTRY.register(CacheCounts(cache))
    app.add_middleware(Measured)

    @app.get("/metrics", summary="What Prometheus asks for", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
