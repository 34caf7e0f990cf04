"""What the sidecar told of answers and asked of models, as metrics, read at each scrape."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class EvaluationFigures(Protocol):
    """What the evaluation counts."""

    told: dict[str, int]
    unchecked: int


class JudgeFigures(Protocol):
    """What the judge counts."""

    judged: int
    dropped: dict[str, int]


class CallFigures(Protocol):
    """What own calls count."""

    asked: dict[str, int]
    unanswered: dict[tuple[str, str], int]
    cost_usd: dict[str, Decimal]


class _OwnSignalsCollector(Collector):
    """The figures of evaluation, judge and own calls."""

    def __init__(
        self, evaluation: EvaluationFigures, judge: JudgeFigures, calls: CallFigures
    ) -> None:
        """Take what counts."""
        self._evaluation = evaluation
        self._judge = judge
        self._calls = calls

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        evaluation, judge, calls = self._evaluation, self._judge, self._calls
        told = {(kind,): count for kind, count in evaluation.told.items()}
        yield _counter("outcomes", "Answers that something could be told of.", ("kind",), told)
        what = "Answers that were too long to be checked in time."
        yield _counter("answers_unchecked", what, (), {(): evaluation.unchecked})
        yield _counter("answers_judged", "Answers that a model judged.", (), {(): judge.judged})
        dropped = {(why,): count for why, count in judge.dropped.items()}
        what = "Answers that were drawn to be judged and were not."
        yield _counter("answers_not_judged", what, ("reason",), dropped)
        asked = {(agent,): count for agent, count in calls.asked.items()}
        yield _counter("own_calls", "Calls of the sidecar's own.", ("agent",), asked)
        what = "Questions of the sidecar's own without an answer."
        yield _counter("own_calls_unanswered", what, ("agent", "reason"), calls.unanswered)
        cost = {(agent,): float(usd) for agent, usd in calls.cost_usd.items()}
        yield _counter("own_calls_cost_usd", "What calls of its own cost.", ("agent",), cost)


def _counter(name: str, what: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(f"remora_{name}", what, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def watch_own_signals(
    registry: CollectorRegistry,
    evaluation: EvaluationFigures,
    judge: JudgeFigures,
    calls: CallFigures,
) -> None:
    """Add these figures to a registry."""
    registry.register(_OwnSignalsCollector(evaluation, judge, calls))
