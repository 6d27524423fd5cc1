"""Metrics as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pipeline.workflows.metrics.known import OF_A_RUN, OF_THE_ARCHIVE, OF_THE_END

KNOWN = {metric.full_name: metric for metric in (*OF_A_RUN, *OF_THE_END, *OF_THE_ARCHIVE)}

Series = tuple[str, tuple[tuple[str, str], ...], float]
"""A name, labels with their values, and the value."""


def read(text: str) -> list[Series]:
    """All series of a text, each of which must be of a known metric with its labels, and appear once."""
    found: list[Series] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            metric = KNOWN[sample.name]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            assert set(sample.labels) == set(metric.labels)
            found.append((sample.name, tuple(sample.labels.items()), sample.value))
    assert len({series[:2] for series in found}) == len(found)
    return found
