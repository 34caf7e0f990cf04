"""What Prometheus would scrape as OTLP's metrics: the same figures under dotted names.

Imported only where an exporter runs.
"""

from collections.abc import Iterable, Sequence

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from remora.telemetry.metric_names import attribute_name, metric_name

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def metrics_data(
    families: Iterable[Family],
    *,
    resource: Resource,
    scope: InstrumentationScope,
    started_unix_ns: int,
    now_unix_ns: int,
) -> MetricsData:
    """Make the export of all families; those without a figure yet are left out."""
    times = (started_unix_ns, now_unix_ns)
    metrics = [_metric(family, times) for family in families if family.samples]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _metric(family: Family, times: tuple[int, int]) -> Metric:
    name, unit = metric_name(family.name)
    data: Histogram | Sum | Gauge
    if family.type == "histogram":
        points = [_histogram(samples, times) for samples in _by_labels(family.samples)]
        data = Histogram(points, _CUMULATIVE)
    elif family.type == "counter":
        data = Sum([_number(sample, times) for sample in family.samples], _CUMULATIVE, True)
    else:
        data = Gauge([_number(sample, times) for sample in family.samples])
    return Metric(name, family.documentation, unit, data)


def _by_labels(samples: Iterable[Sample]) -> Iterable[Sequence[Sample]]:
    """Gather a histogram's samples, which stand bucket by bucket, then count and sum."""
    groups: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in samples:
        key = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        groups.setdefault(key, []).append(sample)
    return groups.values()


def _histogram(samples: Sequence[Sample], times: tuple[int, int]) -> HistogramDataPoint:
    below = [sample for sample in samples if sample.name.endswith("_bucket")]
    counts = [int(sample.value) for sample in below]
    total = next(sample.value for sample in samples if sample.name.endswith("_sum"))
    return HistogramDataPoint(
        attributes=_attributes(samples[0]),
        start_time_unix_nano=times[0],
        time_unix_nano=times[1],
        count=counts[-1],
        sum=total,
        bucket_counts=[n - m for n, m in zip(counts, [0, *counts], strict=False)],
        explicit_bounds=[float(sample.labels["le"]) for sample in below[:-1]],
        min=None,  # type: ignore[arg-type]  # optional on the wire, and not known
        max=None,  # type: ignore[arg-type]  # as above
    )


def _number(sample: Sample, times: tuple[int, int]) -> NumberDataPoint:
    return NumberDataPoint(_attributes(sample), times[0], times[1], sample.value)


def _attributes(sample: Sample) -> dict[str, str]:
    return {
        attribute_name(name): value
        for name, value in sample.labels.items()
        if name != "le" and value
    }
