"""The few kinds of panels that our dashboards have, and how their queries name series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    DataSourceRef,
    StackingMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    GridPos,
    Panel,
    RowPanel,
    Threshold,
    ThresholdsConfig,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from pipeline.workflows.metrics.known import COLLECTED, Metric

WIDTH = 24
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE = "$__rate_interval"
"""Grafana puts an interval in that has at least four samples."""

GOOD, POOR, BAD = "green", "orange", "red"


def of_archive(metric: Metric, **values: str) -> str:
    """The series of a metric about the archive that is chosen above the dashboard, which its job names.

    Args:
        values: which values a label may have, as a regular expression.
    """
    unknown = sorted(set(values) - set(metric.labels))
    if unknown:
        raise ValueError(f"{metric.name} has no labels {unknown}")
    matchers = ['job="$job"', *(f'{label}=~"{value}"' for label, value in values.items())]
    return f"{metric.full_name}{{{', '.join(matchers)}}}"


def of_runs(metric: Metric) -> str:
    """The series of a metric about runs, of all crawl hosts: the endpoints have a job of their own."""
    return metric.full_name


def of_hdfs(name: str) -> str:
    """A series of the active NameNode; its own names, as deploy/monitoring/prometheus.yml reads them."""
    return f'fs_namesystem_{name}{{job="hdfs", hastate="active"}}'


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and how its series are called: Grafana puts values of labels in for ``{{label}}``."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on a number is poor, and from which bad; below which, if ``poor`` is more than ``bad``."""

    poor: float
    bad: float

    def thresholds(self) -> Builder[ThresholdsConfig]:
        """As Grafana has them."""
        if self.poor < self.bad:
            steps = [Threshold(None, GOOD), Threshold(self.poor, POOR), Threshold(self.bad, BAD)]
        else:
            steps = [Threshold(None, BAD), Threshold(self.bad, POOR), Threshold(self.poor, GOOD)]
        return dashboard.ThresholdsConfig().steps(steps)


def number(title: str, about: str, unit: str, expr: str, limits: Limits | None = None) -> Builder[Panel]:
    """One number as of now."""
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(4)
        .reduce_options(_last())
        .color_mode(BigValueColorMode.VALUE if limits else BigValueColorMode.NONE)
        .with_target(_target(Query(expr), "A").instant())
    )
    return panel.thresholds(limits.thresholds()) if limits else panel


def lines(
    title: str, about: str, unit: str, *queries: Query, stacked: bool = False, span: int = 12, least: float | None = 0
) -> Builder[Panel]:
    """Series over time."""
    panel = timeseries.Panel().title(title).description(about).datasource(SOURCE).unit(unit).height(8).span(span)
    for name, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query, name).range())
    if least is not None:
        panel.min(least)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    return panel


def ranked(title: str, about: str, unit: str, query: Query, *, span: int = 12) -> Builder[Panel]:
    """Values as of now, one bar for each series."""
    return (
        bargauge.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(span)
        .min(0)
        .reduce_options(_last())
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .with_target(_target(query, "A").instant())
    )


def listed(title: str, about: str, expr: str, hidden: Sequence[str], *, span: int = 12) -> Builder[Panel]:
    """Labels and values as of now, one row for each series."""
    leave_out = {"excludeByName": dict.fromkeys(hidden, True)}
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .height(8)
        .span(span)
        .with_target(_target(Query(expr), "A").instant().format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="organize", options=leave_out))
    )


def new_dashboard(uid: str, title: str, about: str, since: str, other: tuple[str, str]) -> dashboard.Dashboard:
    """A dashboard without panels, on which an archive is chosen.

    Args:
        since: how far back it shows.
        other: uid and title of the dashboard that it links to.
    """
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    job = (
        dashboard.QueryVariable("job")
        .label("Archive")
        .description("The job with which the archive's metrics are pushed or scraped.")
        .datasource(SOURCE)
        .query(f"label_values({COLLECTED.full_name}, job)")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    )
    link = dashboard.DashboardLink(other[1]).url(f"/d/{other[0]}").icon("dashboard").keep_time(True).include_vars(True)
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["git-lakehouse"])
        .timezone("utc")
        .time(since, "now")
        .refresh("1m")
        .readonly()
        .link(link)
        .with_variable(source)
        .with_variable(job)
    )


def add_row(to: dashboard.Dashboard, title: str, *panels: Builder[Panel]) -> None:
    """Add a heading, and the panels below it."""
    to.with_row(dashboard.Row(title))
    for panel in panels:
        to.with_panel(panel)


def number_and_place(panels: Sequence[Panel | RowPanel]) -> None:
    """Give panels ids, and places beside each other as long as they fit; a heading has a line of its own."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        at = panel.grid_pos or GridPos()
        if isinstance(panel, RowPanel):
            at.w = WIDTH
        if x + at.w > WIDTH:
            x, y, height = 0, y + height, 0
        at.x, at.y = x, y
        x, height = x + at.w, max(height, at.h)
        panel.id_val, panel.grid_pos = number, at


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _target(query: Query, name: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(SOURCE).expr(query.expr).legend_format(query.legend).ref_id(name)
