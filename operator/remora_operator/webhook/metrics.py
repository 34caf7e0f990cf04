"""What Prometheus scrapes of the webhook. How many values a label has is bounded."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from remora.http_listening.connections import Connections
from remora_operator.inject import Decision, Injection, Refuse, Skip
from remora_operator.webhook.review import Answer

MOST_NAMESPACES: Final = 200
OTHER: Final = "other"
"""Stands for all namespaces beyond the first `MOST_NAMESPACES` that pods were created in."""

_LATENCY_BOUNDS_S: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
)  # fmt: skip
_UNREADABLE: Final = "Unreadable"
_INTERNAL: Final = "InternalError"


class WebhookMetrics:
    """All figures of one webhook."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Begin with nothing.

        Args:
            registry: Where the figures are registered.
        """
        self._registry = registry
        self._injections = Counter(
            "remora_injections", "New pods, by what became of them.",
            ("result", "reason", "namespace"), registry=registry,
        )  # fmt: skip
        self._admission_s = Histogram(
            "remora_operator_admission_seconds", "Time from a review's head to its answer.",
            buckets=_LATENCY_BOUNDS_S, registry=registry,
        )  # fmt: skip
        self._namespaces = set[str]()

    def count(self, answer: Answer, took_s: float) -> None:
        """Count an answer; what was asked for a dry run is none of the injections."""
        self._admission_s.observe(took_s)
        if answer.code is not None:
            reason = _UNREADABLE if answer.error is None and answer.code < 500 else _INTERNAL
            self._injections.labels("failed", reason, "").inc()
        elif answer.decision is not None and answer.subject and not answer.subject.dry_run:
            result, reason = _became(answer.decision)
            namespace = self._bounded(answer.subject.namespace)
            self._injections.labels(result, reason, namespace).inc()

    def watch_connections(self, connections: Connections) -> None:
        """Add what the listener knows of its connections."""
        self._registry.register(_Families(connections))

    def _bounded(self, namespace: str) -> str:
        if namespace not in self._namespaces:
            if len(self._namespaces) >= MOST_NAMESPACES:
                return OTHER
            self._namespaces.add(namespace)
        return namespace


def _became(decision: Decision) -> tuple[str, str]:
    match decision:
        case Injection(operations=(), mode=mode):
            return "unchanged", mode.value
        case Injection(mode=mode):
            return "injected", mode.value
        case Skip(reason=reason):
            return "skipped", reason.value
        case Refuse():
            return "refused", decision.reason.value


class _Families(Collector):
    """Figures that are read at each scrape."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        return self._figures()

    def _figures(self) -> Iterator[Metric]:
        prefix = "remora_operator_webhook_connections"
        yield GaugeMetricFamily(prefix, "Connections that stand.", len(self._connections))
        yield CounterMetricFamily(
            f"{prefix}_turned_away", "Connections that were too many, or had to make room.",
            self._connections.made_way + self._connections.turned_away,
        )  # fmt: skip
