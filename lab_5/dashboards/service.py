"""The service that has a dashboard, and the queries that one asks of a service's metrics."""

from dataclasses import dataclass

RATE = "$__rate_interval"  # Grafana's: four scrapes, or more when the picture is wide
NAMESPACE = "$namespace"  # Grafana's, too: a choice above the panels; `.*` is also what has no namespace


@dataclass(frozen=True)
class Service:
    lab: str
    title: str
    job: str
    items: str  # what a request is about, and what the cache and the model count

    def of(self, metric: str, *matchers: str) -> str:
        all_matchers = ", ".join((f'job="{self.job}"', f'namespace=~"{NAMESPACE}"', *matchers))
        return f"{metric}{{{all_matchers}}}"

    def per_second(self, metric: str, *matchers: str, by: str = "") -> str:
        return f"sum{f' by ({by})' if by else ''} (rate({self.of(metric, *matchers)}[{RATE}]))"

    def ratio(self, above: str, below: str) -> str:
        return f"{self.per_second(above)} / {self.per_second(below)}"

    def mean(self, metric: str) -> str:
        return self.ratio(f"{metric}_sum", f"{metric}_count")

    def quantile(self, share: float, metric: str, *matchers: str) -> str:
        return f"histogram_quantile({share}, {self.per_second(f'{metric}_bucket', *matchers, by='le')})"

    def answers(self, *matchers: str) -> str:
        """The share of all answers: 0, and not nothing, where there was never such an answer."""
        these, everything = self.per_second("http_requests_total", *matchers), self.per_second("http_requests_total")
        return f"({these} or 0 * {everything}) / {everything}"


LAB_4 = Service("lab_4", "lab_4: house values", "housing", "block groups")
SERVICES = (LAB_4,)
