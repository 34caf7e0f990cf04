"""What is to be known of goals: ``/api/v1/intelligence/insights`` and ``/api/v1/routing/stats``."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from remora.learning.beta import wilson
from remora.learning.insights import as_json
from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_models import TOOL
from remora_aggregator.signals.kalibr_paths import Path
from remora_aggregator.signals.kalibr_spans import iso_of
from remora_aggregator.signals.reports import ArmWindow, GoalInWindow
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.advice import WINDOW_HOURS, hours_of, model_id_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import Number, Text
from remora_aggregator.web.kalibr.reading import LenientParameters, goal_in, namespace_of
from remora_aggregator.web.kalibr.room import room_of

SCHEMA_VERSION: Final = "1.0"


class InsightParameters(LenientParameters):
    """Which goals, and since when."""

    goal: Text = ""
    window_hours: Number = WINDOW_HOURS


async def insights(request: web.Request, asked: InsightParameters) -> web.StreamResponse:
    """Say how goals do, and what to do about it."""
    room, namespace = room_of(request), namespace_of(request)
    goals, paths = await _goals(request, asked)
    shown = [goal_json(goal, paths) for goal in goals]
    return json_answer(
        {
            "schema_version": SCHEMA_VERSION,
            "tenant_id": namespace,
            "generated_at": iso_of(room.now_unix_ns),
            "window_hours": hours_of(asked.window_hours),
            "goals": shown,
            "cross_goal_summary": summary_of(goals),
        }
    )


async def stats(request: web.Request, asked: InsightParameters) -> web.StreamResponse:
    """Give the figures of each path of a goal."""
    goals, paths = await _goals(request, asked)
    shown = [
        {"goal": goal.report.goal, **_arm_json(arm, _path(paths, goal, arm))}
        for goal in goals
        for arm in goal.arms
    ]
    total = sum(round(arm.evidence.weight) for goal in goals for arm in goal.arms)
    return json_answer({"goal": asked.goal or None, "paths": shown, "total_outcomes": total})


async def _goals(
    request: web.Request, asked: InsightParameters
) -> tuple[Sequence[GoalInWindow], Sequence[Path]]:
    room, namespace = room_of(request), namespace_of(request)
    goal = goal_in(asked.goal) if asked.goal else ""
    window_s = round(hours_of(asked.window_hours) * 3_600)
    async with in_time(front_of(request).bounds):
        goals = await room.in_window(namespace, goal, window_s=window_s)
        return goals, await room.paths.paths(namespace)


def goal_json(goal: GoalInWindow, paths: Sequence[Path]) -> dict[str, Any]:
    """Give a goal as the client reads it."""
    shown = as_json(goal.report)
    for signal in shown["actionable_signals"]:
        signal["data"] = {**signal["evidence"], "path": signal["path"]}
    sensitive = "param_sensitivity_detected"
    return {
        **shown,
        "sample_count": sum(round(arm.evidence.weight) for arm in goal.arms),
        "paths": [_arm_json(arm, _path(paths, goal, arm)) for arm in goal.arms],
        "param_sensitivity": [
            signal for signal in shown["actionable_signals"] if signal["type"] == sensitive
        ],
        "router_version": goal.version or None,
        "last_call_at": iso_of(goal.last_ms * 1_000_000) if goal.last_ms else None,
    }


def _path(paths: Sequence[Path], goal: GoalInWindow, arm: ArmWindow) -> Path | None:
    """Find the path of an arm; those of a pipeline's goal are its goal's."""
    for path in paths:
        is_goal = goal.report.goal == path.goal or goal.report.goal.startswith(f"{path.goal}#")
        if is_goal and path.arm.key == arm.score.arm.key:
            return path
    return None


def _arm_json(window: ArmWindow, path: Path | None) -> dict[str, Any]:
    score, arm = window.score, window.score.arm
    low, high = wilson(window.evidence)
    params = {name: value for name, value in arm.parameters.items() if name != TOOL}
    return {
        "path_id": None if path is None else path.path_id,
        "path": arm.key,
        "model_id": model_id_of(arm) if path is None else path.model_id,
        "provider": arm.provider,
        "tool_id": arm.parameters.get(TOOL),
        "params": params or None,
        "enabled": None if path is None else path.is_enabled,
        "success_rate": window.evidence.rate,
        "confidence_interval": [low, high],
        "sample_count": round(window.evidence.weight),
        "calls": window.calls,
        "avg_cost_usd": score.cost_usd,
        "latency_p50_ms": score.latency_ms,
        "is_stale": score.is_stale,
    }


def summary_of(goals: Sequence[GoalInWindow]) -> dict[str, Any]:
    """Sum goals up."""
    statuses = Counter(goal.report.status for goal in goals)
    modes: Counter[str] = Counter()
    for goal in goals:
        modes.update(dict(goal.report.failure_modes))
    return {
        "total_goals": len(goals),
        **{
            name: statuses[name] for name in ("healthy", "degraded", "failing", "insufficient_data")
        },
        "total_outcomes": sum(round(a.evidence.weight) for goal in goals for a in goal.arms),
        "top_failure_modes": [
            {"category": name, "count": count} for name, count in modes.most_common(5)
        ],
        "goals_needing_attention": [
            goal.report.goal for goal in goals if goal.report.status in ("failing", "degraded")
        ],
    }


OPERATIONS: Final = (
    operation(
        "GET", "/api/v1/intelligence/insights", "Insights", insights, Act.READ_SCORES,
        InsightParameters,
    ),
    operation("GET", "/api/v1/routing/stats", "Stats", stats, Act.READ_SCORES, InsightParameters),
)  # fmt: skip
