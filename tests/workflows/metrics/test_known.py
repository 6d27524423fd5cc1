"""The definitions of metrics: in Prometheus' manner, and all of them on their page."""

from __future__ import annotations

import re

import metrics_page
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.known import OF_A_RUN, OF_THE_ARCHIVE, OF_THE_END, Metric

EVERY = (*OF_A_RUN, *OF_THE_END, *OF_THE_ARCHIVE)
UNITLESS = re.compile(
    r"(visits|errors|objects|files|buckets|rows|nights|unfinished|held|code|due|fresh|failing|visited|tasks)$"
)


def test_the_page_is_up_to_date() -> None:
    assert metrics_page.PAGE.made_anew() == metrics_page.PAGE.text, "run scripts/metrics_page.py"


def test_every_metric_is_exposed_somewhere_and_named_once() -> None:
    defined = [value for value in vars(known).values() if isinstance(value, Metric)]
    assert set(defined) == set(EVERY)
    assert len({metric.name for metric in defined}) == len(defined) > 40


def test_names_end_in_their_unit() -> None:
    for metric in EVERY:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert re.search("(_seconds|_bytes)$", metric.name.removesuffix("_total")) or UNITLESS.search(
            metric.name.removesuffix("_total")
        ), metric.name
        assert metric.help.endswith(".")
