"""What the dashboards have in common: variables, queries, and panels in the few forms that they use.

Every panel has a title, a description, a unit and the datasource variable; every query selects by job and
instance. Written with grafana-foundation-sdk, Grafana's own builder library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PanelBuilder = Builder[model.Panel]
_AnyPanel = timeseries.Panel | stat.Panel | table.Panel | bargauge.Panel
DATASOURCE = model.DataSourceRef("prometheus", "${datasource}")
HOSTS = 'job=~"$job", instance=~"$instance"'
GREEN, YELLOW, RED, GREY = "green", "yellow", "red", "text"


@dataclass(frozen=True)
class Query:
    """One PromQL expression, and what its series are called in the legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """What a panel shows. `width` is in the grid's 24 columns, `height` in its rows."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    decimals: int | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    empty: str = "no data"


def start(title: str, uid: str, description: str, *, many_hosts: bool) -> build.Dashboard:
    """A dashboard with the variables that all of them have."""
    datasource = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    job = _label_variable("job", "Job", "label_values(toposcope_build_info, job)", multi=True)
    query = 'label_values(toposcope_build_info{job=~"$job"}, instance)'
    instance = _label_variable("instance", "Host", query, multi=many_hosts)
    links = build.DashboardLink("toposcope").type(model.DashboardLinkType.DASHBOARDS)
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["toposcope"])
        .readonly()
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(links.tags(["toposcope"]).as_dropdown(True).keep_time(True).include_vars(True))
        .with_variable(datasource)
        .with_variable(job)
        .with_variable(instance)
    )


def _label_variable(name: str, label: str, query: str, *, multi: bool) -> build.QueryVariable:
    variable = (
        build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .include_all(multi)
    )
    if multi:
        everything = model.VariableOption(text="All", value="$__all", selected=True)
        variable = variable.all_value(".+").current(everything)
    return variable


def _queries(panel: Panel, *, instant: bool) -> list[Builder[Any]]:
    targets: list[Builder[Any]] = []
    for index, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).datasource(DATASOURCE)
        target = target.legend_format(query.legend or "__auto")
        targets.append(target.instant().format(PromQueryFormat.TABLE) if instant else target.range())
    return targets


def _dress(made: _AnyPanel, panel: Panel, targets: Sequence[Builder[Any]]) -> PanelBuilder:
    made = (
        made.title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(DATASOURCE)
        .height(panel.height)
        .span(panel.width)
        .no_value(panel.empty)
        .targets(list(targets))
    )
    if panel.decimals is not None:
        made = made.decimals(panel.decimals)
    if panel.steps:
        steps = [model.Threshold(value, colour) for value, colour in panel.steps]
        thresholds = build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
        made = made.thresholds(thresholds)
    if panel.words:
        options = {value: model.ValueMappingResult(text, colour, index=index)
                   for index, (value, (text, colour)) in enumerate(panel.words.items())}  # fmt: skip
        made = made.mappings([model.ValueMap(options)])
    return made


def lines(panel: Panel, *, log: bool = False, stacked: bool = False) -> PanelBuilder:
    """Values over time."""
    legend = common.VizLegendOptions().display_mode(common_model.LegendDisplayMode.TABLE)
    legend = (
        legend.placement(common_model.LegendPlacement.BOTTOM).show_legend(True).calcs(["lastNotNull", "max"])
    )
    made = (
        timeseries.Panel()
        .fill_opacity(30 if stacked else 0)
        .line_width(1)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    if log:
        scale = common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LOG).log(10)
        made = made.scale_distribution(scale)
    if stacked:
        made = made.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
    return _dress(made, panel, _queries(panel, instant=False))


def number(panel: Panel, *, text: bool = False) -> PanelBuilder:
    """The newest value, large; with `text` the series' name instead."""
    mode = common_model.BigValueTextMode.NAME if text else common_model.BigValueTextMode.AUTO
    made = (
        stat.Panel()
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .color_mode(common_model.BigValueColorMode.VALUE)
        .text_mode(mode)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    )
    return _dress(made, panel, _queries(panel, instant=False))


def bars(panel: Panel) -> PanelBuilder:
    """The newest values beside each other."""
    made = (
        bargauge.Panel()
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .display_mode(common_model.BarGaugeDisplayMode.GRADIENT)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    )
    return _dress(made, panel, _queries(panel, instant=False))


def rows(
    panel: Panel,
    columns: Mapping[str, str],
    *,
    hidden: Sequence[str] = (),
    sort: str = "",
) -> PanelBuilder:
    """A table of the newest values: `columns` renames and orders labels; `Value` is the number."""
    organise = {
        "renameByName": dict(columns),
        "indexByName": {name: index for index, name in enumerate(columns)},
        "excludeByName": dict.fromkeys(("Time", "__name__", *hidden), True),
    }
    made = (
        table.Panel()
        .filterable(True)
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=organise))
    )
    if sort:
        made = made.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    if panel.steps:
        made = made.cell_options(common_model.TableColorTextCellOptions())
    return _dress(made, panel, _queries(panel, instant=True))


def matrix(panel: Panel, *, row: str, column: str) -> PanelBuilder:
    """A heat map of the newest values, one label down and one across."""
    grouping = {"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"}
    colour = build.FieldColor().mode(model.FieldColorModeId.CONTINUOUS_GR_YL_RD)
    made = (
        table.Panel()
        .with_transformation(model.DataTransformerConfig(id_val="groupingToMatrix", options=grouping))
        .color_scheme(colour)
        .cell_options(common_model.TableColoredBackgroundCellOptions())
        .align(common_model.FieldTextAlignment.CENTER)
    )
    return _dress(made, panel, _queries(panel, instant=True))
