"""Writes each service's dashboard as Grafana reads it: `.venv/bin/python -m dashboards.build`."""

import json
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.common import VisibilityMode as Visible
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableModel,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .panels import Panel, rows
from .service import SERVICES, Service

FOLDER = Path(__file__).parent
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
REPOSITORY = "https://example.org/ml_systems"  # until the repository has an address; a box above the panels changes it
HEIGHT = 8


def path(service: Service) -> Path:
    return FOLDER / f"{service.lab}.json"


def _targets(panel: Panel) -> list[prometheus.Dataquery]:
    form = PromQueryFormat.HEATMAP if panel.heat else PromQueryFormat.TIME_SERIES
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(name).range().format(form)
        for name, (legend, expr) in zip("ABCD", panel.queries.items(), strict=False)
    ]


def _help(service: Service) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(f"What is counted: the README of {service.lab}").type(DashboardLinkType.LINK)
    return link.url(f"${{repository}}/blob/main/{service.lab}/README.md#metrics").target_blank(True)


def _lines() -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
    return timeseries.Panel().min(0).show_points(Visible.NEVER).legend(legend.show_legend(True)).tooltip(tooltip)


def _heat(unit: str) -> heatmap.Panel:
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    linear = common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR)
    built = heatmap.Panel().calculate(False).color(color).scale_distribution(linear).show_tooltip()
    return built.y_axis(heatmap.YAxisConfig().unit(unit))


def _built(panel: Panel, service: Service, width: int, number: int) -> timeseries.Panel | heatmap.Panel:
    built: timeseries.Panel | heatmap.Panel = _heat(panel.unit) if panel.heat else _lines()
    for target in _targets(panel):
        built.with_target(target)
    built.id(number).title(panel.title).description(panel.description).unit(panel.unit).datasource(SOURCE)
    return built.links([_help(service)]).height(HEIGHT).span(width)


def _variables(service: Service) -> list[Builder[VariableModel]]:
    """The Prometheus, the namespaces, which need not exist, and where the links to the READMEs lead."""
    namespace = dashboard.QueryVariable("namespace").label("Namespace").datasource(SOURCE)
    namespace.query(f'label_values(up{{job="{service.job}"}}, namespace)').refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    namespace.multi(True).include_all(True).all_value(".*").current(VariableOption(True, ["All"], ["$__all"]))
    repository = dashboard.TextBoxVariable("repository").label("Repository").default_value(REPOSITORY)
    return [
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        namespace,
        repository.current(VariableOption(True, REPOSITORY, REPOSITORY)),
    ]


def text(service: Service) -> str:
    """The dashboard as JSON, the same bytes each time."""
    built = dashboard.Dashboard(service.title).uid(f"ml-systems-{service.lab.replace('_', '-')}").tags(["ml_systems"])
    built.readonly().tooltip(DashboardCursorSync.CROSSHAIR).time("now-15m", "now").refresh("10s").timezone("browser")
    for variable in _variables(service):
        built.with_variable(variable)
    number = count(1)
    for title, panels in rows(service).items():
        built.with_row(dashboard.Row(title).id(next(number)))
        for panel in panels:
            built.with_panel(_built(panel, service, 24 // len(panels), next(number)))
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    for service in SERVICES:
        path(service).write_text(text(service), encoding="utf-8")


if __name__ == "__main__":
    main()
