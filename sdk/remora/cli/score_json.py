"""How goals, arms and models do, as JSON for programs. Pure.

docs/cli.md names the keys; a test holds the two together.
"""

import math
from typing import Any

from remora.cli.moments import iso_utc
from remora.client.score_report import (
    ArmReport,
    Benchmark,
    GoalReport,
    ReportedInsight,
    TimelinePoint,
)
from remora.learning.arms import Arm
from remora.learning.counts import Counts
from remora.learning.scores import ArmScore, GoalScores

_MS_NS = 1_000_000


def goal_json(report: GoalReport) -> dict[str, Any]:
    """Show how a goal does."""
    return {
        "goal": report.goal,
        "status": report.status or None,
        "trend": report.trend or None,
        "rate": report.rate,
        "interval": list(report.interval),
        "arms": [_arm_report(arm) for arm in report.arms],
        "failures": [{"category": one.category, "calls": one.calls} for one in report.failures],
        "insights": [insight_json(one) for one in report.insights],
        "settings": report.settings.as_mapping(),
        "version": report.version or None,
        "last_call_at": iso_utc(report.last_unix_ns) if report.last_unix_ns else None,
    }


def _arm_report(report: ArmReport) -> dict[str, Any]:
    return {
        **arm_score_json(report.score),
        "evidence": counts_json(report.evidence),
        "rate": report.rate,
        "interval": list(report.interval),
        "calls": report.calls,
    }


def arm_score_json(score: ArmScore) -> dict[str, Any]:
    """Show what decisions go by."""
    shift = score.shift
    return {
        **arm_json(score.arm),
        "posterior": {
            "good": score.posterior.good,
            "bad": score.posterior.bad,
            "mean": score.posterior.mean,
        },
        "samples": score.samples,
        "cost_usd": score.cost_usd,
        "latency_ms": score.latency_ms,
        "is_stale": score.is_stale,
        "shift": None
        if shift is None
        else {
            "at": iso_utc(shift.at_ms * _MS_NS),
            "before": counts_json(shift.before),
            "after": counts_json(shift.after),
        },
    }


def arm_json(arm: Arm) -> dict[str, Any]:
    """Show an arm."""
    return {
        "arm": arm.key,
        "provider": arm.provider,
        "model": arm.model,
        "parameters": dict(arm.parameters) or None,
    }


def scores_json(scores: GoalScores) -> dict[str, Any]:
    """Show what decisions about a goal go by."""
    return {
        "goal": scores.goal,
        "arms": [arm_score_json(arm) for arm in scores.arms],
        "settings": scores.settings.as_mapping(),
    }


def counts_json(counts: Counts) -> dict[str, float]:
    """Show evidence, in answers."""
    return {"good": counts.good, "bad": counts.bad}


def insight_json(insight: ReportedInsight) -> dict[str, Any]:
    """Show something to know."""
    return {
        "kind": insight.kind,
        "goal": insight.goal,
        "arm": insight.arm or None,
        "evidence": dict(insight.evidence),
        "advice": insight.advice,
    }


def timeline_json(point: TimelinePoint) -> dict[str, Any]:
    """Show a piece of time."""
    return {
        "arm": point.arm,
        "starts_at": iso_utc(point.start_unix_ns),
        "ends_at": iso_utc(point.end_unix_ns),
        "evidence": counts_json(point.evidence),
        "rate": point.rate,
        "interval": list(point.interval),
    }


def benchmark_json(one: Benchmark) -> dict[str, Any]:
    """Show what a model was measured to do."""
    return {
        "provider": one.provider,
        "model": one.model,
        "calls": one.calls,
        "errors": one.errors,
        "latency_p50_s": one.latency_p50_s,
        "latency_p95_s": one.latency_p95_s,
        "ttft_p50_s": one.ttft_p50_s,
        "output_tokens_per_s": one.output_tokens_per_s,
        "mean_cost_usd": None if one.mean_cost_usd is None else format(one.mean_cost_usd, "f"),
        "evidence": counts_json(one.evidence),
        "acceptance": one.acceptance,
        "interval": list(one.interval),
    }


def finite(value: float) -> float | None:
    """Give a number as JSON can have it; None where there is no telling."""
    return value if math.isfinite(value) else None
