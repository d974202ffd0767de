"""What the service tells Prometheus, at GET /metrics."""

from collections.abc import Callable, Iterator, Sized
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import REGISTRY, Histogram, Info
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import latency, requests

from .cache import Cache

# seconds: a hit takes 1 ms, a block group that is computed 2, 10,000 of them 400, and who waits for a loaded pod longer
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
Items = TypeVar("Items", bound=Sized)
Predictions = TypeVar("Predictions")

prediction_time = Histogram("prediction_seconds", "Time of one call of the model", buckets=SECONDS)
batch_size = Histogram(
    "prediction_batch_size", "Items in one call of the model", buckets=(1, 2, 5, 10, 50, 100, 500, 1000, 5000)
)
model = Info("model", "The model that answers")


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
    instrumentator = Instrumentator(should_group_status_codes=False)
    instrumentator.add(requests(), latency(buckets=SECONDS)).instrument(app)
    instrumentator.expose(app, summary="What Prometheus asks for", response_class=PlainTextResponse)
