"""How goals, arms and models do, as an aggregator reports it: values, read from the wire form."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from remora.learning.counts import Counts
from remora.learning.logged_decision import LoggedDecision
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora.score_wire import arm_score_of, counts_of, settings_of
from remora.wire_money import usd_of
from remora_proto.v1 import scores_pb2 as pb


@dataclass(frozen=True, slots=True)
class ArmReport:
    """How an arm does, in the window that was asked for.

    Attributes:
        score: What decisions go by.
        evidence: In the window, in answers.
        rate: Share of good answers in it; None without evidence.
        interval: Of that, Wilson's of 95 %.
        calls: Judged or not.
    """

    score: ArmScore
    evidence: Counts
    rate: float | None
    interval: tuple[float, float]
    calls: int


class FailureMode(NamedTuple):
    """How often calls failed for one reason."""

    category: str
    calls: int


@dataclass(frozen=True, slots=True)
class ReportedInsight:
    """Something to know; docs/learned-routing.md has the kinds.

    Attributes:
        arm: Key of the arm it is about; empty if about the goal.
        evidence: The figures it stands on.
        advice: What to do.
    """

    kind: str
    goal: str
    arm: str
    evidence: Mapping[str, str]
    advice: str


@dataclass(frozen=True, slots=True)
class GoalReport:
    """How a goal does.

    Attributes:
        status: ``healthy``, ``degraded``, ``failing`` or ``insufficient_data``.
        trend: ``improving``, ``stable`` or ``worsening``.
        rate: Of all its arms together; None without evidence.
        interval: Of that, at 95 %.
        version: The router version in force; 0: none.
        last_unix_ns: When its last call began; 0: nobody knows.
    """

    goal: str
    status: str
    trend: str
    rate: float | None
    interval: tuple[float, float]
    arms: tuple[ArmReport, ...]
    failures: tuple[FailureMode, ...]
    insights: tuple[ReportedInsight, ...]
    settings: LearningSettings
    version: int
    last_unix_ns: int

    @property
    def scores(self) -> GoalScores:
        """What decisions go by."""
        return GoalScores(self.goal, tuple(arm.score for arm in self.arms), self.settings)


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """How an arm did in a piece of time.

    Attributes:
        arm: Its key.
        evidence: Of calls that began in it, in answers.
        rate: Share of good answers.
        interval: Of that, at 95 %.
    """

    arm: str
    start_unix_ns: int
    end_unix_ns: int
    evidence: Counts
    rate: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a model was measured to do; None where nobody knows.

    Attributes:
        output_tokens_per_s: In a second of latency.
        mean_cost_usd: Of a call whose price is known.
        evidence: About its answers, all goals together.
        acceptance: Share of good answers.
        interval: Of that, at 95 %.
    """

    provider: str
    model: str
    calls: int
    errors: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    ttft_p50_s: float | None
    output_tokens_per_s: float | None
    mean_cost_usd: Decimal | None
    evidence: Counts
    acceptance: float | None
    interval: tuple[float, float]


def goal_report_of(message: pb.GoalReport) -> GoalReport:
    """Read how a goal does; raises ValueError where that can't be."""
    return GoalReport(
        goal=message.goal,
        status=message.status,
        trend=message.trend,
        rate=message.rate if message.HasField("rate") else None,
        interval=(message.low, message.high),
        arms=tuple(map(_arm_report_of, message.arms)),
        failures=tuple(FailureMode(one.category, one.calls) for one in message.failures),
        insights=tuple(map(_insight_of, message.insights)),
        settings=settings_of(message.settings),
        version=message.version,
        last_unix_ns=message.last_unix_nano,
    )


def _arm_report_of(message: pb.ArmReport) -> ArmReport:
    return ArmReport(
        score=arm_score_of(message.score),
        evidence=counts_of(message.evidence),
        rate=message.rate if message.HasField("rate") else None,
        interval=(message.low, message.high),
        calls=message.calls,
    )


def _insight_of(message: pb.Insight) -> ReportedInsight:
    evidence = dict(message.evidence)
    return ReportedInsight(message.kind, message.goal, message.arm, evidence, message.advice)


def timeline_point_of(message: pb.TimelineResponse.Point) -> TimelinePoint:
    """Read a piece of time; raises ValueError where that can't be."""
    return TimelinePoint(
        arm=message.arm,
        start_unix_ns=message.start_unix_nano,
        end_unix_ns=message.end_unix_nano,
        evidence=counts_of(message.evidence),
        rate=message.rate,
        interval=(message.low, message.high),
    )


def benchmark_of(message: pb.Benchmark) -> Benchmark:
    """Read what a model does; raises ValueError where that can't be."""

    def known(name: str) -> float | None:
        value: float = getattr(message, name)
        return value if message.HasField(name) else None  # type: ignore[arg-type]  # names of fields

    return Benchmark(
        provider=message.provider,
        model=message.model,
        calls=message.calls,
        errors=message.errors,
        latency_p50_s=known("latency_p50_s"),
        latency_p95_s=known("latency_p95_s"),
        ttft_p50_s=known("ttft_p50_s"),
        output_tokens_per_s=known("output_tokens_per_s"),
        mean_cost_usd=usd_of(message.mean_cost_usd) if message.mean_cost_usd else None,
        evidence=counts_of(message.evidence),
        acceptance=known("acceptance"),
        interval=(message.low, message.high),
    )


def logged_decision_of(message: pb.LoggedCall) -> LoggedDecision:
    """Read a decision; raises `decimal.InvalidOperation` where money is no decimal."""
    return LoggedDecision(
        call_id=message.call_id,
        goal=message.goal,
        arm=message.arm,
        arms=tuple(message.arms),
        propensity=message.propensity,
        reward=message.reward,
        confidence=message.confidence,
        started_unix_ns=message.started_unix_nano,
        cost_usd=usd_of(message.cost_usd) if message.cost_usd else None,
        latency_ms=message.latency_ms if message.HasField("latency_ms") else None,
        requested_model=message.requested_model,
        rule=message.rule,
    )
