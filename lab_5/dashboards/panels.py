"""The panels of the dashboard: titles, units and PromQL queries. build.py writes them to lab_4.json."""

from dataclasses import dataclass

# Grafana replaces $namespace by the choice above the panels, and $__rate_interval by at least 4 scrape intervals.
SELECTOR = 'job="housing", namespace=~"$namespace"'
PREDICT, PREDICTED = 'handler="/predict"', 'handler="/predict", status="200"'
DURATION, INFERENCE = "http_request_duration_seconds", "model_inference_duration_seconds"


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str  # Grafana's name: reqps (requests/s), ops (operations/s), s, percentunit (0 to 1), bytes, short (none)
    description: str
    queries: dict[str, str]  # a query by its legend; {{status}} in a legend is the value of that label


def series(metric: str, *matchers: str) -> str:
    return f"{metric}{{{', '.join((SELECTOR, *matchers))}}}"


def rate(metric: str, *matchers: str, label: str = "") -> str:
    """The growth of a counter per second, of all pods together or by a label."""
    return f"sum{label and f' by ({label}) '}(rate({series(metric, *matchers)}[$__rate_interval]))"


def mean(metric: str) -> str:
    return f"{rate(f'{metric}_sum')} / {rate(f'{metric}_count')}"


def percentile(quantile: float) -> str:
    return f"histogram_quantile({quantile}, {rate(f'{DURATION}_bucket', PREDICTED, label='le')})"


def within(seconds: str) -> str:
    """The share of the predictions that take at most this time, which must be a bucket of the histogram."""
    bucket = f'le="{seconds}"'
    return f"{rate(f'{DURATION}_bucket', PREDICTED, bucket)} / {rate(f'{DURATION}_count', PREDICTED)}"


def share(status: str, *among: str) -> str:
    """The share of the requests to /predict. Without such a request there is no time series, and `or` makes it 0."""
    total = rate("http_requests_total", PREDICT, *among)
    return f"({rate('http_requests_total', PREDICT, status)} or 0 * {total}) / {total}"


def burn_rates(window: str) -> dict[str, str]:
    """The error ratio of rules/recording.yaml, divided by the error budget. The maximum of all namespaces."""
    ratio = f"job:slo_errors_per_request:ratio_rate{window}"
    availability, latency = (series(ratio, f'slo="{slo}"') for slo in ("availability", "latency"))
    return {"availability": f"max({availability}) / 0.005", "latency": f"max({latency}) / 0.01"}


def by(label: str, metric: str, *matchers: str) -> dict[str, str]:
    return {f"{{{{{label}}}}}": rate(metric, *matchers, label=label)}


hits, misses, errors = (rate(f"cache_{kind}_total") for kind in ("hits", "misses", "errors"))
counted = 'status=~"200|429|5.."'  # by the SLO of the availability
failed = {"5xx": share('status=~"5.."', counted), "429": share('status="429"', counted)}
invalid = {"422": share('status="422"'), "other": share('status=~"4..", status!~"422|429"')}
distribution = {f"at most {bound} s": within(bound) for bound in ("0.01", "0.1", "0.5")}
percentiles = {f"p{q * 100:.0f}": percentile(q) for q in (0.5, 0.95, 0.99)}
memory = {"{{instance}}": f"sum by (instance) ({series('process_resident_memory_bytes')})"}

ROWS = {
    "Service level objectives": [
        Panel("Burn rate (1 h window)", "short", "At 1, the error budget lasts 30 days.", burn_rates("1h")),
        Panel("Burn rate (5 min window)", "short", "It shows whether a problem continues.", burn_rates("5m")),
    ],
    "Traffic": [
        Panel("Requests by route", "reqps", "`unmatched`: no such route.", by("handler", "http_requests_total")),
        Panel("Requests by status", "reqps", "All routes, probes included.", by("status", "http_requests_total")),
    ],
    "Errors": [
        Panel("Failed and rejected (5xx, 429)", "percentunit", "Share of 200, 429 and 5xx.", failed),
        Panel("Client errors (4xx)", "percentunit", "Share of the requests to /predict. 422 is invalid data.", invalid),
    ],
    "Latency": [
        Panel("Latency (p50/p95/p99)", "s", "Predictions, estimated from the buckets: at most 5 s.", percentiles),
        Panel("Latency distribution", "percentunit", "Share of the predictions.", distribution),
    ],
    "Cache": [
        Panel("Cache lookups", "ops", "A lookup is for one block group.", {"hits": hits, "misses": misses}),
        Panel("Cache hit ratio", "percentunit", "Hits / lookups.", {"hit ratio": f"{hits} / ({hits} + {misses})"}),
        Panel("Cache errors", "ops", "Failed calls of Redis.", {"errors": errors}),
    ],
    "Model": [
        Panel("Inference duration (mean)", "s", "One call of the model.", {"mean": mean(INFERENCE)}),
        Panel("Inference calls", "ops", "A request without a miss causes none.", {"calls": rate(f"{INFERENCE}_count")}),
        Panel("Batch size (mean)", "short", "Block groups per call.", {"mean": mean("model_inference_batch_size")}),
    ],
    "Saturation": [
        Panel("CPU usage", "percentunit", "100 % is one CPU.", by("instance", "process_cpu_seconds_total")),
        Panel("Memory (RSS)", "bytes", "Resident set size of each process.", memory),
        Panel("Inference utilization", "percentunit", "Share of time in calls.", by("instance", f"{INFERENCE}_sum")),
    ],
}
PANELS = [panel for row in ROWS.values() for panel in row]
