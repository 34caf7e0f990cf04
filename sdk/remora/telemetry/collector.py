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

from remora.telemetry.metric_data import metrics_data
from remora.telemetry.record_form import RecordForm
from remora.telemetry.settings import Destination, ExportPlan
from remora.telemetry.spans import spans_of


class Collector[T]:
    """Sends calls and metrics; for one thread, but for `shutdown`."""

    def __init__(
        self, plan: ExportPlan, resource: Mapping[str, str], version: str, form: RecordForm[T]
    ) -> None:
        """Prepare; nothing is connected before the first export.

        Args:
            plan: What goes where.
            resource: What exports; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.
            version: Of what exports, as the scope's.
            form: In which form the records come.
        """
        # Their retries are logged each; what matters is said once by whoever exports.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._form = form
        self._detected = OTELResourceDetector().detect()
        self._resource = Resource(dict(resource)).merge(self._detected)
        self._scope = InstrumentationScope("remora", version)
        self._spans = _span_exporter(plan.traces) if plan.traces else None
        self._metrics = _metric_exporter(plan.metrics) if plan.metrics else None

    def send_calls(self, records: Sequence[T]) -> bool:
        """Export spans; False if the collector did not take them."""
        if self._spans is None:
            return True
        read = [self._form.read(record) for record in records]
        spans = [
            span
            for call, made_by in read
            for span in spans_of(call, self._resource_of(made_by), self._scope)
        ]
        return self._spans.export(spans) is SpanExportResult.SUCCESS

    def _resource_of(self, made_by: Mapping[str, str]) -> Resource:
        if not made_by:
            return self._resource
        stated = {name: value for name, value in made_by.items() if value}
        return Resource(stated).merge(self._detected)

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
