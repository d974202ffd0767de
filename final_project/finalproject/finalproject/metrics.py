"""Metrics for Prometheus, at GET /metrics. The names follow https://prometheus.io/docs/practices/naming/."""

from functools import cache
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram, Info
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A hit takes about 1 ms, a text 3 ms, 1,000 texts 1 s; the deadline is 10 s.
TIME_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)
TOKEN_BUCKETS = (16, 32, 64, 128, 256, 512)
LABELS = ("handler", "method", "status")
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

requests = Counter("http_requests_total", "Requests whose response is complete", LABELS)
request_duration = Histogram("http_request_duration_seconds", "Time of a request", LABELS, buckets=TIME_BUCKETS)
requests_in_progress = Gauge("http_requests_in_progress", "Requests whose response is not complete")
inference_duration = Histogram("model_inference_duration_seconds", "Time of a call of the model", buckets=TIME_BUCKETS)
inference_batch_size = Histogram("model_inference_batch_size", "Items in a call of the model", buckets=BATCH_BUCKETS)
queue_texts = Gauge("batcher_queue_texts", "Texts that wait for an inference thread")
estimated_queue_seconds = Gauge("batcher_estimated_queue_seconds", "Estimated queueing time of a new text")
queue_duration = Histogram("batcher_queue_seconds", "Queueing time of a text", buckets=TIME_BUCKETS)
batch_tokens = Histogram("batcher_batch_tokens", "Tokens of a batch, padding included", buckets=TOKEN_BUCKETS)
padding_tokens = Counter("batcher_padding_tokens_total", "Tokens that are padding")
shared_texts = Counter("batcher_shared_texts_total", "Texts that were already waiting or computed (single-flight)")
cache_hits = Counter("cache_hits_total", "Items whose value came from Redis")
cache_misses = Counter("cache_misses_total", "Items without a value in Redis")
cache_errors = Counter("cache_errors_total", "Failed calls of Redis and failed probes")
model_info = Info("model", "The model and the version of the service")
requests_labels, request_duration_labels = cache(requests.labels), cache(request_duration.labels)  # labels() takes 3 us


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
            requests_labels(*labels).inc()
            request_duration_labels(*labels).observe(perf_counter() - start)
