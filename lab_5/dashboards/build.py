"""Writes the panels as lab_4.json, the dashboard as Grafana reads it: `.venv/bin/python -m dashboards.build`."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import TooltipDisplayMode, VisibilityMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh

from .panels import PANELS, ROWS, Panel

FILE = Path(__file__).with_name("lab_4.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")  # the choice above the panels


def built(panel: Panel, width: int) -> timeseries.Panel:
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)  # the values of all lines
    result = timeseries.Panel().min(0).show_points(VisibilityMode.NEVER).tooltip(tooltip)
    for name, (label, expr) in zip("ABC", panel.queries.items(), strict=False):
        result.with_target(prometheus.Dataquery().expr(expr).legend_format(label).ref_id(name).range())
    result.id(PANELS.index(panel) + 1).title(panel.title).description(panel.description).unit(panel.unit)
    return result.datasource(SOURCE).height(8).span(width)


def text() -> str:
    """The dashboard as JSON; always the same bytes for the same panels."""
    result = dashboard.Dashboard("lab_4: housing service").uid("ml-systems-lab-4").tags(["ml_systems"]).readonly()
    result.time("now-15m", "now").refresh("10s").timezone("browser")
    result.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    namespace = dashboard.QueryVariable("namespace").label("Namespace").datasource(SOURCE)
    namespace.query('label_values(up{job="housing"}, namespace)').refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    namespace.multi(True).include_all(True).all_value(".*").current(VariableOption(True, ["All"], ["$__all"]))
    result.with_variable(namespace)
    for number, (title, panels) in enumerate(ROWS.items(), start=len(PANELS) + 1):
        result.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            result.with_panel(built(panel, 24 // len(panels)))  # a row is 24 columns wide
    return json.dumps(result.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
