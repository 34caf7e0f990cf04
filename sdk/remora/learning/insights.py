"""What people and agents should know of a goal: facts with their evidence and what to do.

Pure functions of scores and of what failed. Each insight is a machine-readable signal of a kind
that the field knows, and carries the figures that it stands on.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from remora.learning.beta import wilson
from remora.learning.counts import Counts
from remora.learning.scores import ArmScore, GoalScores

Kind = Literal[
    "path_underperforming",
    "failure_mode_dominant",
    "param_sensitivity_detected",
    "drift_detected",
    "cost_inefficiency",
    "low_confidence",
    "goal_healthy",
]
Status = Literal["healthy", "degraded", "failing", "insufficient_data"]
Trend = Literal["improving", "stable", "worsening"]

HEALTHY_FROM = 0.8
FAILING_BELOW = 0.5
DOMINANT_FROM = 0.5
"""Share of the failures that one cause has to have."""


@dataclass(frozen=True, slots=True)
class Insight:
    """Something to know.

    Attributes:
        arm: The key of the arm it is about; empty if about the goal.
        evidence: The figures it stands on.
        advice: What to do.
    """

    kind: Kind
    goal: str
    arm: str
    evidence: Mapping[str, float | str]
    advice: str


@dataclass(frozen=True, slots=True)
class GoalReport:
    """How a goal does.

    Attributes:
        success_rate: Of all its arms together; None without evidence.
        interval: Of that, at 95 %.
        failure_modes: Causes of failures, the most frequent first.
    """

    goal: str
    status: Status
    trend: Trend
    success_rate: float | None
    interval: tuple[float, float]
    failure_modes: tuple[tuple[str, int], ...]
    insights: tuple[Insight, ...] = field(default=())


def report(
    scores: GoalScores, evidence: Mapping[str, Counts], failures: Mapping[str, int]
) -> GoalReport:
    """Say how a goal does.

    Args:
        scores: Of its arms.
        evidence: Of each arm in the window that is reported, by its key.
        failures: How often each category of failure occurred in it.
    """
    whole = Counts(
        sum(counts.good_millionths for counts in evidence.values()),
        sum(counts.bad_millionths for counts in evidence.values()),
    )
    status = _status(whole, scores.settings.min_samples)
    modes = tuple(sorted(failures.items(), key=lambda mode: (-mode[1], mode[0])))
    found = tuple(_insights(scores, evidence, modes))
    if not found and status == "healthy":
        found = (_healthy(scores.goal, whole),)
    trend = _trend(scores.arms)
    return GoalReport(scores.goal, status, trend, whole.rate, wilson(whole), modes, found)


def _status(whole: Counts, min_samples: float) -> Status:
    rate = whole.rate
    if rate is None or whole.weight < min_samples:
        return "insufficient_data"
    if rate >= HEALTHY_FROM:
        return "healthy"
    return "failing" if rate < FAILING_BELOW else "degraded"


def _trend(arms: Sequence[ArmScore]) -> Trend:
    """Say where it goes, by the arms that changed, each by what is known of it since."""
    moved = -sum(arm.shift.fall * arm.shift.after.weight for arm in arms if arm.shift)
    if abs(moved) < 1e-9:
        return "stable"
    return "improving" if moved > 0 else "worsening"


def _insights(
    scores: GoalScores, evidence: Mapping[str, Counts], modes: Sequence[tuple[str, int]]
) -> Iterator[Insight]:
    known = {arm.arm.key: evidence.get(arm.arm.key, Counts()) for arm in scores.arms}
    yield from _underperforming(scores, known)
    yield from _drift(scores)
    yield from _inefficiency(scores)
    yield from _sensitivity(scores, known)
    yield from _dominant(scores.goal, modes)
    yield from _unsure(scores, known)


def _underperforming(scores: GoalScores, known: Mapping[str, Counts]) -> Iterator[Insight]:
    """Find arms that are worse than another beyond doubt, and by more than the band."""
    best = max(known, key=lambda key: wilson(known[key])[0], default="")
    floor = (1 - scores.settings.band) * wilson(known[best])[0] if best else 0.0
    for key, counts in known.items():
        high = wilson(counts)[1]
        if key != best and high < floor:
            figures: dict[str, float | str] = {
                "rate": counts.rate or 0.0,
                "high": high,
                "samples": counts.weight,
                "best": best,
                "best_rate": known[best].rate or 0.0,
            }
            advice = f"take it off the candidates: {best} is better"
            yield Insight("path_underperforming", scores.goal, key, figures, advice)


def _drift(scores: GoalScores) -> Iterator[Insight]:
    for arm in scores.arms:
        if arm.shift is not None:
            figures = {
                "rate_before": arm.shift.before.rate or 0.0,
                "rate_after": arm.shift.after.rate or 0.0,
                "samples_after": arm.shift.after.weight,
                "at_ms": float(arm.shift.at_ms),
            }
            way = "fell" if arm.shift.fall > 0 else "rose"
            advice = f"look what changed at the provider or in the prompts: its rate {way}"
            yield Insight("drift_detected", scores.goal, arm.arm.key, figures, advice)


def _inefficiency(scores: GoalScores) -> Iterator[Insight]:
    """Find arms that cost more than a cheaper one that is as good, by what is expected."""
    settings = scores.settings
    sure = [arm for arm in scores.arms if arm.samples >= settings.min_samples and arm.cost_usd]
    for arm in sure:
        floor = (1 - settings.band) * arm.posterior.mean
        good = [other for other in sure if other.posterior.mean >= floor]
        cheapest = min(good, key=_cost)
        if _cost(cheapest) < _cost(arm) * (1 - settings.band):
            figures: dict[str, float | str] = {
                "cost_usd": _cost(arm),
                "cheaper_cost_usd": _cost(cheapest),
                "rate": arm.posterior.mean,
                "cheaper_rate": cheapest.posterior.mean,
                "cheaper": cheapest.arm.key,
            }
            advice = f"{cheapest.arm.key} is about as good and cheaper"
            yield Insight("cost_inefficiency", scores.goal, arm.arm.key, figures, advice)


def _cost(arm: ArmScore) -> float:
    return arm.cost_usd or 0.0


def _sensitivity(scores: GoalScores, known: Mapping[str, Counts]) -> Iterator[Insight]:
    """Find arms of one model whose parameters alone make a difference beyond doubt."""
    models: dict[tuple[str, str], list[ArmScore]] = {}
    for arm in scores.arms:
        models.setdefault((arm.arm.provider, arm.arm.model), []).append(arm)
    for arms in models.values():
        high = max(arms, key=lambda arm: wilson(known[arm.arm.key])[0])
        low = min(arms, key=lambda arm: wilson(known[arm.arm.key])[1])
        floor, ceiling = wilson(known[high.arm.key])[0], wilson(known[low.arm.key])[1]
        if floor > ceiling:
            figures: dict[str, float | str] = {
                "better": high.arm.key,
                "low": floor,
                "worse_high": ceiling,
            }
            shown = json.dumps(dict(high.arm.parameters), sort_keys=True)
            advice = f"ask it with {shown}"
            yield Insight("param_sensitivity_detected", scores.goal, low.arm.key, figures, advice)


def _dominant(goal: str, modes: Sequence[tuple[str, int]]) -> Iterator[Insight]:
    whole = sum(number for _, number in modes)
    if whole >= 5 and modes[0][1] >= DOMINANT_FROM * whole:
        figures: dict[str, float | str] = {
            "category": modes[0][0],
            "failures": float(modes[0][1]),
            "share": modes[0][1] / whole,
        }
        advice = f"most failures are {modes[0][0]}: begin there"
        yield Insight("failure_mode_dominant", goal, "", figures, advice)


def _unsure(scores: GoalScores, known: Mapping[str, Counts]) -> Iterator[Insight]:
    for key, counts in known.items():
        if counts.weight < scores.settings.min_samples:
            low, high = wilson(counts)
            figures = {"samples": counts.weight, "low": low, "high": high}
            needed = scores.settings.min_samples - counts.weight
            advice = f"{needed:.0f} more judged answers say more"
            yield Insight("low_confidence", scores.goal, key, figures, advice)


def _healthy(goal: str, whole: Counts) -> Insight:
    low, high = wilson(whole)
    figures = {"rate": whole.rate or 0.0, "low": low, "high": high, "samples": whole.weight}
    return Insight("goal_healthy", goal, "", figures, "nothing to do")


def as_json(goal_report: GoalReport) -> dict[str, Any]:
    """Give a report as JSON values, as the wire protocol of the field names them."""
    return {
        "goal": goal_report.goal,
        "status": goal_report.status,
        "success_rate": goal_report.success_rate,
        "interval": list(goal_report.interval),
        "trend": goal_report.trend,
        "top_failure_modes": [
            {"category": name, "count": number} for name, number in goal_report.failure_modes
        ],
        "actionable_signals": [
            {
                "type": insight.kind,
                "path": insight.arm,
                "evidence": dict(insight.evidence),
                "recommendation": insight.advice,
            }
            for insight in goal_report.insights
        ],
    }
