"""How workflows go, as metrics, read at each scrape."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class RunFigures(Protocol):
    """What runs count."""

    @property
    def running_count(self) -> int:
        """How many go on."""
        ...

    @property
    def ended(self) -> Mapping[str, int]:
        """How many are over, by how they ended."""
        ...


class _WorkflowCollector(Collector):
    def __init__(self, runs: RunFigures) -> None:
        self._runs = runs

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        yield GaugeMetricFamily(
            "remora_workflows_running", "Workflows that go on.", self._runs.running_count
        )
        text = "Workflows that are over."
        ended = CounterMetricFamily("remora_workflows_ended", text, labels=["status"])
        for status, count in self._runs.ended.items():
            ended.add_metric([status], count)
        yield ended


def watch_workflows(registry: CollectorRegistry, runs: RunFigures) -> None:
    """Add the figures of workflows to a registry."""
    registry.register(_WorkflowCollector(runs))
