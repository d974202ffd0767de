"""Metrics for Prometheus, at GET /metrics. The names follow https://prometheus.io/docs/practices/naming/."""

from collections.abc import Iterator
from time import perf_counter

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import REGISTRY, CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .cache import Cache

# A hit takes about 1 ms, a prediction 2 ms, 10,000 predictions 400 ms; a request to a busy pod takes longer.
TIME_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
BATCH_BUCKETS = (1, 2, 5, 10, 50, 100, 500, 1000, 5000)
LABELS = ("handler", "method", "status")
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

requests = Counter("http_requests_total", "Requests whose response is complete", LABELS)
request_duration = Histogram("http_request_duration_seconds", "Time of a request", LABELS, buckets=TIME_BUCKETS)
requests_in_progress = Gauge("http_requests_in_progress", "Requests whose response is not complete")
inference_duration = Histogram("model_inference_duration_seconds", "Time of a call of the model", buckets=TIME_BUCKETS)
inference_batch_size = Histogram("model_inference_batch_size", "Items in a call of the model", buckets=BATCH_BUCKETS)
model_info = Info("model", "The model and the version of the service")


class PrometheusMiddleware:
    """ASGI middleware: counts and times every request. Clients cannot add values of labels: each new value would add
    time series, which stay in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, start = 499, perf_counter()  # nginx's status for a client that disconnects before the response

        async def send_and_read_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            with requests_in_progress.track_inprogress():
                await self._app(scope, receive, send_and_read_status)
        except Exception as error:
            status = getattr(error, "status_code", 500)  # 413 of FastAPI's limit is an exception
            raise
        finally:
            same_path = (route for route in scope["app"].routes if route.path == scope["path"])
            route = scope.get("route") or next(same_path, None)  # a body that limits.py rejects reaches no route
            handler = route.path if route else "unmatched"  # the template of the route
            labels = handler, scope["method"] if scope["method"] in METHODS else "other", status
            requests.labels(*labels).inc()
            request_duration.labels(*labels).observe(perf_counter() - start)


class CacheCollector(Collector):
    """Reads the counters of cache.py whenever Prometheus scrapes the metrics."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily("cache_hits", "Items whose value came from Redis", self._cache.hits)
        yield CounterMetricFamily("cache_misses", "Items without a value in Redis", self._cache.misses)
        yield CounterMetricFamily("cache_errors", "Failed calls of Redis and failed probes", self._cache.errors)


def instrument(app: FastAPI, model_sha256: str, cache: Cache | None) -> None:
    model_info.info({"sha256": model_sha256, "service_version": app.version})
    if cache:
        REGISTRY.register(CacheCollector(cache))
    app.add_middleware(PrometheusMiddleware)

    @app.get("/metrics", summary="Return the metrics in Prometheus' text format", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
