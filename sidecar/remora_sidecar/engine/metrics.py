"""What Prometheus may scrape about calls; nothing of their content."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from remora.records import CallRecord, EndReason

_LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OVERHEAD_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 1)


class EngineMetrics:
    """Counters of one engine, in a registry of their own."""

    def __init__(self) -> None:
        """Make every metric."""
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "remora_calls",
            "Calls recorded.",
            ["provider", "operation", "outcome"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "remora_tokens",
            "Tokens that providers stated.",
            ["provider", "type"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "remora_call_duration_seconds", "From request head to the end of the answer.",
            ["provider"], buckets=_LATENCY_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._overhead = Histogram(
            "remora_overhead_seconds", "Time in Remora, not waiting for provider or agent.",
            buckets=_OVERHEAD_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._unread = Counter(
            "remora_usage_unreadable", "Successful calls whose usage could not be read.",
            ["provider"], registry=self.registry,
        )  # fmt: skip
        self._opaque = Counter(
            "remora_opaque",
            "Calls and connections relayed or blocked unread.",
            registry=self.registry,
        )
        self.refused = Counter(
            "remora_requests_refused",
            "Requests that could not be carried.",
            ["code"],
            registry=self.registry,
        )
        self.not_handed_off = Counter(
            "remora_connections_not_handed_off",
            "Connections to the engine that the interceptor never made.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "remora_calls_in_flight", "Calls being carried.", registry=self.registry
        )
        self._children: dict[tuple[str, str, str], Counter] = {}

    def count(self, record: CallRecord) -> None:
        """Count one record."""
        key = (record.provider, record.operation, _outcome(record))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._calls.labels(*key)
        child.inc()
        self._latency.labels(record.provider).observe(record.latency_s)
        if record.overhead_s is not None:
            self._overhead.observe(record.overhead_s)
        self._count_usage(record)
        if record.opaque:
            self._opaque.inc()

    def _count_usage(self, record: CallRecord) -> None:
        if record.usage is not None:
            self._tokens.labels(record.provider, "input").inc(record.usage.input_tokens or 0)
            self._tokens.labels(record.provider, "output").inc(record.usage.output_tokens or 0)
        elif record.error is not None and record.error.type == "usage_unreadable":
            self._unread.labels(record.provider).inc()


def _outcome(record: CallRecord) -> str:
    if record.end_reason is not EndReason.COMPLETED:
        return record.end_reason.name.lower()
    return "error" if record.error is not None else "ok"
