"""The connection to a collector, over gRPC or HTTP, by OpenTelemetry's own exporters.

Imported only where an exporter runs. The exporters read what is left of OpenTelemetry's
variables themselves: headers, certificates, compression, timeout.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric

from remora.records import CallRecord
from remora_sidecar.telemetry.metric_data import metrics_data
from remora_sidecar.telemetry.settings import Destination, ExportPlan
from remora_sidecar.telemetry.spans import spans_of


class Collector:
    """Sends calls and metrics; for one thread, but for `shutdown`."""

    def __init__(self, plan: ExportPlan, resource: Mapping[str, str], version: str) -> None:
        """Prepare; nothing is connected before the first export.

        Args:
            plan: What goes where.
            resource: What this sidecar is; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.
            version: Of the sidecar, as the scope's.
        """
        # Their retries are logged each; what matters is said once by whoever exports.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._resource = Resource(dict(resource)).merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("remora", version)
        self._spans = _span_exporter(plan.traces) if plan.traces else None
        self._metrics = _metric_exporter(plan.metrics) if plan.metrics else None

    def send_calls(self, records: Sequence[CallRecord]) -> bool:
        """Export spans; False if the collector did not take them."""
        if self._spans is None:
            return True
        spans = [
            span for record in records for span in spans_of(record, self._resource, self._scope)
        ]
        return self._spans.export(spans) is SpanExportResult.SUCCESS

    def send_metrics(
        self, families: Iterable[Metric], *, started_unix_ns: int, now_unix_ns: int
    ) -> bool:
        """Export metrics; False if the collector did not take them."""
        if self._metrics is None:
            return True
        data = metrics_data(
            families,
            resource=self._resource,
            scope=self._scope,
            started_unix_ns=started_unix_ns,
            now_unix_ns=now_unix_ns,
        )
        return self._metrics.export(data) is MetricExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close connections, and interrupt an export that waits to try again."""
        for exporter in (self._spans, self._metrics):
            if exporter is not None:
                exporter.shutdown()


def _span_exporter(to: Destination) -> SpanExporter:
    if to.protocol == "grpc":
        return GrpcSpanExporter(endpoint=to.url)
    return HttpSpanExporter(endpoint=to.url)


def _metric_exporter(to: Destination) -> MetricExporter:
    if to.protocol == "grpc":
        return GrpcMetricExporter(endpoint=to.url)
    return HttpMetricExporter(endpoint=to.url)
