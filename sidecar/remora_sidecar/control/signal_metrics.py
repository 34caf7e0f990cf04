"""Signals that wait and were delivered, as metrics, read at each scrape."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class OutboxFigures(Protocol):
    """What the outbox counts."""

    waiting: int
    taken_total: int
    shed_total: int


class DeliveryFigures(Protocol):
    """What the delivery counts."""

    delivered_total: int
    refused_total: int


class _SignalCollector(Collector):
    def __init__(self, outbox: OutboxFigures, delivery: DeliveryFigures | None) -> None:
        self._outbox = outbox
        self._delivery = delivery

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        outbox, delivery = self._outbox, self._delivery
        yield GaugeMetricFamily(
            "remora_signals_waiting", "Signals waiting for the aggregator.", outbox.waiting
        )
        counters = {
            "taken": ("Signals taken from programs.", outbox.taken_total),
            "shed": ("Signals given up for newer ones.", outbox.shed_total),
            "delivered": (
                "Signals that the aggregator keeps.",
                0 if delivery is None else delivery.delivered_total,
            ),
            "refused": (
                "Signals that the aggregator refused.",
                0 if delivery is None else delivery.refused_total,
            ),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"remora_signals_{name}", text, value)


def watch_signals(
    registry: CollectorRegistry, outbox: OutboxFigures, delivery: DeliveryFigures | None
) -> None:
    """Add the figures of signals to a registry; without an aggregator none is delivered."""
    registry.register(_SignalCollector(outbox, delivery))
