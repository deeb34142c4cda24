"""The metrics as text: Prometheus' format, or OpenMetrics.

Covers: the choice between both, and the families of prometheus_client, which writes them. Source: Prometheus exposition
formats, text 0.0.4; OpenMetrics 1.0.0. Does not cover: what there is to say (`service.telemetry.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from service.telemetry.durations import Buckets
from service.telemetry.metric import Metric
from service.telemetry.metrics import METRICS
from service.telemetry.readings import Readings, Usage, UsageReader

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_write_openmetrics: Callable[[Collector], bytes] = openmetrics.generate_latest  # which says nothing of its types


def is_openmetrics(accept: str) -> bool:
    """Whether a client with this Accept header is to get OpenMetrics: only where it names it, and not as what it cannot read."""
    for each in accept.lower().split(","):
        name, *parameters = (part.strip().replace(" ", "") for part in each.split(";"))
        if name == "application/openmetrics-text":
            return not any(parameter in ("q=0", "q=0.0", "q=0.00", "q=0.000") for parameter in parameters)
    return False


class Exposition:
    """Writes the metrics. Blocking, for a thread."""

    def __init__(self, store: Path) -> None:
        self._usage = UsageReader(store)
        self._process = ProcessCollector(registry=None)

    def written(self, readings: Readings, *, is_openmetrics: bool) -> bytes:
        """The text in one of the two formats. Raises OSError where /proc cannot be read."""
        scrape = _Scrape(readings, self._usage.read(), self._process)
        return _write_openmetrics(scrape) if is_openmetrics else generate_latest(scrape)


class _Scrape(Collector):
    """Families of one moment."""

    def __init__(self, readings: Readings, usage: Usage, process: ProcessCollector) -> None:
        self._readings = readings
        self._usage = usage
        self._process = process

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield family(metric, self._readings, self._usage)
        yield from self._process.collect()


def family(metric: Metric, readings: Readings, usage: Usage) -> Family:
    """A metric with its samples."""
    samples = metric.read(readings, usage)
    if metric.kind == "histogram":
        return _histogram(metric, samples)
    if metric.kind == "info":
        info = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
        for labels, _ in samples:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    made = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        assert not isinstance(value, Buckets)  # noqa: S101
        made.add_metric(labels, value)
    return made


def _histogram(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float | Buckets]]) -> Family:
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        assert isinstance(value, Buckets)  # noqa: S101
        made.add_metric(labels, value.cumulative(), value.sum_ns / 1e9)
    return made
