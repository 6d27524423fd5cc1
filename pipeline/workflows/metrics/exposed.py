"""Values in the form of the client library: as a registry, which may be served or sent, and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.workflows.metrics.known import Values


class _Found(Collector):
    def __init__(self, find: Callable[[], Values]) -> None:
        self._find = find

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for metric, values in self._find().items():
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.full_name, metric.help, labels=metric.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family


def registry_of(find: Callable[[], Values]) -> CollectorRegistry:
    """A registry that finds its values anew each time it is asked."""
    registry = CollectorRegistry()
    registry.register(_Found(find))
    return registry


def text_of(values: Values) -> str:
    """Prometheus' text format, metrics in the given order."""
    return generate_latest(registry_of(lambda: values)).decode()
