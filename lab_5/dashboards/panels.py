"""What the dashboards show: each panel with its queries, in the one place that builds, draws and tests them."""

from dataclasses import dataclass

from .service import Service

ROUTE = 'handler="/predict"'
TIME = "http_request_duration_seconds"


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str  # Grafana's names: reqps, ops, s, percentunit, bytes, short
    description: str
    queries: dict[str, str]  # by the name of the line, which may be of labels: {{handler}}
    heat: bool = False  # a heat map of the one query, which is by `le`


def rows(of: Service) -> dict[str, list[Panel]]:
    """By the title of the row."""
    return {
        "Traffic": _traffic(of),
        "Errors": _errors(of),
        "Latency": _latency(of),
        "Cache": _cache(of),
        "Model": _model(of),
        "Saturation": _saturation(of),
    }


def panels(of: Service) -> list[Panel]:
    return [panel for row in rows(of).values() for panel in row]


def _traffic(of: Service) -> list[Panel]:
    by_route, by_status = (of.per_second("http_requests_total", by=label) for label in ("handler", "status"))
    return [
        Panel(
            "Requests",
            "reqps",
            "By route; paths that do not exist are one route, unmatched.",
            {"{{handler}}": by_route},
        ),
        Panel("Answers", "reqps", "By status.", {"{{status}}": by_status}),
    ]


def _errors(of: Service) -> list[Panel]:
    invalid, other = of.answers('status="422"'), of.answers('status=~"4..", status!~"422|429"')
    failed = "Of all answers, those that failed by the server's fault: each 500 is in its log."
    refused = "Of all answers, those that failed by the caller's: 422 is no valid request"
    return [
        Panel("Failed", "percentunit", failed, {"5xx": of.answers('status=~"5.."')}),
        Panel(
            "Refused",
            "percentunit",
            f"{refused}.",
            {"422": invalid, "other 4xx": other},
        ),
    ]


def _latency(of: Service) -> list[Panel]:
    quantiles = {f"p{share * 100:.0f}": of.quantile(share, TIME, ROUTE) for share in (0.5, 0.95, 0.99)}
    buckets = of.per_second(f"{TIME}_bucket", ROUTE, by="le")
    return [
        Panel("Time of /predict", "s", "Quantiles; they are estimated within a bucket of the histogram.", quantiles),
        Panel(
            "Times of /predict", "s", "Requests a second in each bucket of the histogram.", {"{{le}}": buckets}, True
        ),
    ]


def _cache(of: Service) -> list[Panel]:
    hits, misses, errors = (of.per_second(f"cache_{what}_total") for what in ("hits", "misses", "errors"))
    fails = f"The {of.items} that Redis failed to give or to take: above 0 as long as it is away."
    return [
        Panel("Asked for", "ops", f"Hits and misses are counted by {of.items}.", {"hits": hits, "misses": misses}),
        Panel("Hit share", "percentunit", "What came from Redis.", {"hits": f"{hits} / ({hits} + {misses})"}),
        Panel("Cache errors", "ops", fails, {"errors": errors}),
    ]


def _model(of: Service) -> list[Panel]:
    calls = {"calls": of.per_second("model_inference_duration_seconds_count")}
    return [
        Panel(
            "Time of a call",
            "s",
            "The mean of the calls of the model.",
            {"mean": of.mean("model_inference_duration_seconds")},
        ),
        Panel("Calls", "ops", "Calls of the model; an answer from the cache makes none.", calls),
        Panel(
            "Batch",
            "short",
            f"The mean number of {of.items} in a call.",
            {"mean": of.mean("model_inference_batch_size")},
        ),
    ]


def _saturation(of: Service) -> list[Panel]:
    processor = of.per_second("process_cpu_seconds_total", by="instance")
    memory = f"sum by (instance) ({of.of('process_resident_memory_bytes')})"
    busy = of.per_second("model_inference_duration_seconds_sum", by="instance")
    return [
        Panel("CPU", "percentunit", "Of one CPU, by process: event loop and model.", {"{{instance}}": processor}),
        Panel("Memory", "bytes", "Resident, by process.", {"{{instance}}": memory}),
        Panel("Model at work", "percentunit", "Share of the time, which has one thread.", {"{{instance}}": busy}),
    ]
