"""Writes docs/metrics.md: every metric, from its definition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from generated import Page
from pipeline.workflows.metrics.known import OF_A_RUN, OF_THE_ARCHIVE, OF_THE_END, Metric

PARTS = (
    ("While a run lasts, at its endpoint", OF_A_RUN),
    ("When a command has ended, pushed or written", OF_THE_END),
    ("About the archive, pushed or written then, and printed by `pipeline metrics`", OF_THE_ARCHIVE),
)


def page_lines() -> Iterator[str]:
    """The generated part of the page."""
    for title, metrics in PARTS:
        yield from (f"## {title}", "", "| metric | type | labels | is |", "| --- | --- | --- | --- |")
        yield from _rows(metrics)
        yield ""


def _rows(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.help} |"


PAGE = Page("docs/metrics.md", "scripts/metrics_page.py", page_lines)

if __name__ == "__main__":
    PAGE.write()
