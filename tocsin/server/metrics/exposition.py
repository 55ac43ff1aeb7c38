"""The text of the metrics, in the format of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar

from tocsin.actors.runtime.histogram import Histogram
from tocsin.server.metrics.catalogue import BY_NAME, Metric
from tocsin.server.metrics.readings import MetricValue, readings
from tocsin.server.services import Services

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def render_metrics(services: Services) -> bytes:
    """The metrics of this moment."""
    return exposed(readings(services))


def render_openmetrics(services: Services) -> bytes:
    """The metrics of this moment as OpenMetrics, whose histograms have exemplars."""
    return exposed(readings(services), openmetrics.generate_latest)


def exposed(
    values: Iterable[MetricValue],
    generate: Callable[[CollectorRegistry], bytes] = generate_latest,
) -> bytes:
    """The text of *values*, which *generate* writes.

    Raises `KeyError` for a metric that the catalogue does not have.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(values))
    return generate(registry)


class _Collector(Collector):
    def __init__(self, values: Iterable[MetricValue]) -> None:
        self._values = values

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {}
        for reading in self._values:
            if (family := families.get(reading.name)) is None:
                family = families[reading.name] = _family(BY_NAME[reading.name])
            _add(family, reading)
        yield from families.values()


def _family(metric: Metric) -> Family:
    name = metric.full_name.removesuffix("_total")
    match metric.kind:
        case "counter":
            return CounterMetricFamily(name, metric.about, labels=metric.labels)
        case "gauge":
            return GaugeMetricFamily(name, metric.about, labels=metric.labels)
        case "histogram":
            return HistogramMetricFamily(name, metric.about, labels=metric.labels)


def _add(family: Family, reading: MetricValue) -> None:
    value, labels = reading.value, reading.labels
    match family:
        case HistogramMetricFamily():
            assert isinstance(value, Histogram)
            buckets = [_bucket(value, *each) for each in value.cumulative()]
            family.add_metric(labels, buckets, value.total)
        case CounterMetricFamily() | GaugeMetricFamily():
            assert not isinstance(value, Histogram)
            family.add_metric(labels, value)


def _bucket(
    spread: Histogram, bound: float, count: float
) -> tuple[str, float] | tuple[str, float, Exemplar]:
    if (found := spread.exemplars.get(bound)) is None:
        return _text(bound), count
    return _text(bound), count, Exemplar({"trace_id": found.trace}, found.value, found.at)


def _text(bound: float) -> str:
    """An upper bound as Prometheus writes it."""
    return "+Inf" if math.isinf(bound) else repr(bound)
