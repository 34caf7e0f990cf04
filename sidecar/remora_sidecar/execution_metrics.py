"""Executions of workflows that wait for the aggregator, as metrics, read at each scrape."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from remora_sidecar.execution_reporting import ExecutionReporting


class _ExecutionCollector(Collector):
    def __init__(self, reporting: ExecutionReporting) -> None:
        self._reporting = reporting

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        outbox, delivery = self._reporting.outbox, self._reporting.delivery
        waiting = "Executions of workflows waiting for the aggregator."
        yield GaugeMetricFamily("remora_executions_waiting", waiting, outbox.waiting)
        counters = {
            "delivered": (
                "Reports of executions that the aggregator keeps.",
                delivery.delivered_total,
            ),
            "refused": (
                "Reports of executions that the aggregator refused.",
                delivery.refused_total,
            ),
            "shed": ("Executions given up for others, for want of room.", outbox.shed_total),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"remora_execution_reports_{name}", text, value)


def watch_execution_reports(registry: CollectorRegistry, reporting: ExecutionReporting) -> None:
    """Add the figures to a registry."""
    registry.register(_ExecutionCollector(reporting))
