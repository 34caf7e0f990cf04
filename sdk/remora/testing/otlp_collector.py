"""Collectors of real sockets that keep what they are sent: OTLP over gRPC and over HTTP."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

_PATIENCE_S = 20


@dataclass
class Received:
    """What a collector took."""

    protocol: str
    endpoint: str = ""
    traces: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, kind: str, request: Any, headers: dict[str, str]) -> None:
        """Keep a request."""
        with self.changed:
            getattr(self, kind).append(request)
            self.headers.append(headers)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition holds of what came; raises TimeoutError."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout=_PATIENCE_S):
                raise TimeoutError("the collector did not get what was waited for")
            return condition()

    def spans(self) -> list[Any]:
        """Every span, in order."""
        return [
            span
            for request in list(self.traces)
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def last_metrics(self) -> dict[str, Any]:
        """The metrics of the newest export, by name."""
        if not self.metrics:
            return {}
        return {
            metric.name: metric
            for of_resource in self.metrics[-1].resource_metrics
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        }


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self._received = received

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self._received.take("traces", request, dict(context.invocation_metadata()))
        return trace_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, received: Received) -> None:
        self._received = received

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self._received.take("metrics", request, dict(context.invocation_metadata()))
        return metrics_pb2.ExportMetricsServiceResponse()


@contextmanager
def grpc_collector() -> Iterator[Received]:
    """Run a collector that speaks gRPC."""
    received = Received("grpc")
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    trace_grpc.add_TraceServiceServicer_to_server(_Traces(received), server)  # type: ignore[no-untyped-call]  # generated
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(received), server)  # type: ignore[no-untyped-call]  # as above
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    received.endpoint = f"http://127.0.0.1:{port}"
    try:
        yield received
    finally:
        server.stop(None).wait()


@contextmanager
def http_collector() -> Iterator[Received]:
    """Run a collector that speaks HTTP."""
    received = Received("http/protobuf")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests: dict[str, tuple[str, Any]] = {
                "/v1/traces": ("traces", trace_pb2.ExportTraceServiceRequest),
                "/v1/metrics": ("metrics", metrics_pb2.ExportMetricsServiceRequest),
            }
            kind, request = requests[self.path]
            received.take(kind, request.FromString(body), dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        received.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
