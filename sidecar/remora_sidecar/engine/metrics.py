"""What Prometheus may scrape about calls; nothing of their content.

Counted in plain numbers, which only the loop's thread touches, and made into Prometheus'
families at a scrape: its own counters take a lock for each step, several for each call.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from remora.records import CallRecord, EndReason
from remora_sidecar.engine.chunk_times import ChunkTimes
from remora_sidecar.engine.genai_metrics import GenAIMetrics
from remora_sidecar.engine.spread import Spread

_LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OVERHEAD_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 1)


class EngineMetrics(Collector):
    """Figures of one engine, in a registry of their own.

    Attributes:
        registry: What is scraped.
        refused: Requests that could not be carried, by code.
        in_flight: Calls being carried.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.refused: Counter[str] = Counter()
        self.in_flight = 0
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._unread: Counter[str] = Counter()
        self._opaque = 0
        self._conditions_failed = 0
        self._cache: Counter[str] = Counter()
        self._genai = GenAIMetrics()
        self._latency: dict[str, Spread] = {}
        self._overhead = Spread(_OVERHEAD_BUCKETS)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def count(self, record: CallRecord) -> None:
        """Count one record."""
        self._genai.count(record)
        provider = record.provider
        self._calls[provider, record.operation, _outcome(record)] += 1
        latency = self._latency.get(provider)
        if latency is None:
            latency = self._latency[provider] = Spread(_LATENCY_BUCKETS)
        latency.add(record.latency_s)
        if record.overhead_s is not None:
            self._overhead.add(record.overhead_s)
        self._opaque += record.opaque
        if record.cache is not None:
            self._cache[record.cache.result] += 1
        self._count_tokens(record)
        if not record.cached and record.usage is None and is_unread(record):
            self._unread[provider] += 1

    def count_usage(self, record: CallRecord) -> None:
        """Count what a record that was counted before came to know: its usage."""
        self._genai.count_usage(record)
        self._count_tokens(record)

    def _count_tokens(self, record: CallRecord) -> None:
        if record.usage is not None and not record.cached:
            self._tokens[record.provider, "input"] += record.usage.input_tokens or 0
            self._tokens[record.provider, "output"] += record.usage.output_tokens or 0

    def count_chunks(self, record: CallRecord, times: ChunkTimes) -> None:
        """Count the chunks of a call's streamed answer, once it is recorded."""
        self._genai.count_chunks(record, times)

    def condition_failed(self) -> None:
        """Count a condition of policy that could not be told for a call."""
        self._conditions_failed += 1

    def collect(self) -> Iterable[Metric]:
        """Give Prometheus' families."""
        yield from self._genai.collect()
        yield _counter(
            "remora_calls", "Calls recorded.", ("provider", "operation", "outcome"), self._calls
        )
        yield _counter(
            "remora_tokens", "Tokens that providers stated.", ("provider", "type"), self._tokens
        )
        yield _counter(
            "remora_usage_unreadable",
            "Successful calls whose usage could not be read.",
            ("provider",),
            {(provider,): count for provider, count in list(self._unread.items())},
        )
        yield _counter(
            "remora_requests_refused",
            "Requests that could not be carried.",
            ("code",),
            {(code,): count for code, count in list(self.refused.items())},
        )
        yield _counter(
            "remora_cache_results",
            "Calls by what the cache had for them.",
            ("result",),
            {(result,): count for result, count in list(self._cache.items())},
        )
        yield CounterMetricFamily(
            "remora_opaque", "Calls and connections relayed or blocked unread.", self._opaque
        )
        yield CounterMetricFamily(
            "remora_policy_conditions_failed",
            "Conditions of policy that could not be told for a call, and counted as false.",
            self._conditions_failed,
        )
        yield GaugeMetricFamily("remora_calls_in_flight", "Calls being carried.", self.in_flight)
        yield from self._spreads()

    def _spreads(self) -> Iterable[Metric]:
        latency = HistogramMetricFamily(
            "remora_call_duration_seconds",
            "From request head to the end of the answer.",
            labels=("provider",),
        )
        for provider, spread in list(self._latency.items()):
            latency.add_metric((provider,), spread.buckets(), spread.total)
        yield latency
        yield HistogramMetricFamily(
            "remora_overhead_seconds",
            "Time in Remora, not waiting for provider or agent.",
            self._overhead.buckets(),
            self._overhead.total,
        )


def _counter(
    name: str,
    help_text: str,
    labels: Sequence[str],
    counts: "Counter[tuple[str, str, str]] | Counter[tuple[str, str]] | dict[tuple[str], int]",
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, count in list(counts.items()):
        family.add_metric(values, count)
    return family


def is_unread(record: CallRecord) -> bool:
    """Tell whether a successful call's usage could not be read."""
    return record.error is not None and record.error.type == "usage_unreadable"


def _outcome(record: CallRecord) -> str:
    if record.end_reason is not EndReason.COMPLETED:
        return record.end_reason.name.lower()
    return "error" if record.error is not None else "ok"
