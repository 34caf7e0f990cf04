"""What is recommended: ``/api/v1/intelligence/policy`` and ``…/recommend``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from remora.ids import new_call_id
from remora.learning.arms import Arm
from remora.learning.counts import NOTHING
from remora.learning.scores import ArmScore
from remora.learning.settings import LearningSettings
from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_advice import (
    Advice,
    Constraints,
    Option,
    advised,
    score_of,
)
from remora_aggregator.signals.kalibr_models import TOOL, arm_of, pooled, provider_and_model
from remora_aggregator.signals.kalibr_paths import Path
from remora_aggregator.signals.kalibr_runs import Run
from remora_aggregator.store.kalibr_spans import SpanSelection
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import PolicyBody
from remora_aggregator.web.kalibr.reading import NothingAsked, body_of, goal_in, namespace_of
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem

WINDOW_HOURS: Final = 168
MOST_WINDOW_HOURS: Final = 24 * 90

_MOST_MODELS: Final = 200
_HOUR_S: Final = 3_600


async def policy(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Say which path does best for a goal."""
    del asked
    body, room, namespace = (
        await body_of(request, PolicyBody),
        room_of(request),
        namespace_of(request),
    )
    pool = goal_in(pooled(goal_in(body.goal), body.pipeline_id))
    async with in_time(front_of(request).bounds):
        settings = await room.settings(namespace, body.goal)
        options = await options_of(room, namespace, body.goal, pool, hours_of(body.window_hours))
        advice = advised(options, body.optimize_for, Constraints.of(body.constraints), settings)
        if advice.best is None:
            raise _nothing(body.goal, advice)
        trace_id = await _kept(room, namespace, pool, advice.best)
    return json_answer(_policy_json(body, advice, advice.best, trace_id))


async def recommend(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Say which model does best for a goal, else for all of them."""
    del asked
    body, room, namespace = (
        await body_of(request, PolicyBody),
        room_of(request),
        namespace_of(request),
    )
    goal = goal_in(body.goal) if body.goal else ""
    hours = hours_of(body.window_hours)
    async with in_time(front_of(request).bounds):
        settings = await room.settings(namespace, goal) if goal else LearningSettings()
        options: Sequence[Option] = ()
        for name in dict.fromkeys((goal, "" if goal else body.task_type)):
            options = options or (
                await options_of(room, namespace, name, name, hours) if name else ()
            )
        options = options or ([] if goal else await _of_all_goals(room, namespace, hours))
        advice = advised(options, body.optimize_for, Constraints.of(body.constraints), settings)
    return json_answer(_recommendation_json(body, advice))


def hours_of(given: float | None) -> float:
    """Read a window; none is a week."""
    return min(given, MOST_WINDOW_HOURS) if given is not None and given > 0 else WINDOW_HOURS


async def options_of(
    room: Room, namespace: str, goal: str, pool: str, hours: float
) -> Sequence[Option]:
    """List what could be recommended for a goal: its enabled paths, and what else was tried."""
    paths = await room.paths.paths(namespace, goal)
    (found,) = await room.in_window(namespace, pool, window_s=round(hours * _HOUR_S))
    windows = {one.score.arm.key: one for one in found.arms}
    scores = {one.arm.key: one for one in (await room.live_scores(namespace, goal, pool)).arms}
    registered = {path.arm.key: path for path in reversed(paths)}
    options = []
    for key, path in reversed(registered.items()):
        if path.is_enabled:
            evidence = windows[key].evidence if key in windows else NOTHING
            options.append(_of_path(path, scores.get(key) or ArmScore(path.arm), evidence=evidence))
    for key, window in windows.items():
        if key not in registered:
            options.append(_of_arm(scores.get(key) or window.score, evidence=window.evidence))
    return options


def _of_path(path: Path, score: ArmScore, **known: Any) -> Option:
    return Option(
        path.model_id, score, tool_id=path.tool_id, params=path.params, risk=path.risk, **known
    )


def _of_arm(score: ArmScore, **known: Any) -> Option:
    params = {name: value for name, value in score.arm.parameters.items() if name != TOOL}
    tool = score.arm.parameters.get(TOOL)
    return Option(model_id_of(score.arm), score, tool_id=str(tool or ""), params=params, **known)


def model_id_of(arm: Arm) -> str:
    """Name an arm's model as the client asks for it."""
    is_plain = provider_and_model(arm.model) == (arm.provider, arm.model)
    return arm.model if is_plain else f"{arm.provider}/{arm.model}"


async def _of_all_goals(room: Room, namespace: str, hours: float) -> Sequence[Option]:
    now_ms, own = room.now_ms, frozenset({namespace})
    since_ms = max(now_ms - round(hours * _HOUR_S) * 1_000, 0)
    evidence = await room.scores.evidence(own, "", since_ms, now_ms + 1)
    chosen = SpanSelection(own, since_unix_ns=since_ms * 1_000_000)
    sums = await room.spans.by_group(chosen, ("provider", "model_id"), limit=_MOST_MODELS)
    costs = {arm_of(model).key: one for (_, model), one in reversed(list(sums.items())) if model}
    options = []
    for (provider, model), counts in evidence.items():
        arm = Arm(provider, model)
        spent = costs.get(arm.key)
        cost = None
        if spent is not None and spent.cost_usd is not None and spent.priced:
            cost = float(spent.cost_usd / spent.priced)
        latency = None if spent is None else spent.mean_duration_ms
        options.append(_of_arm(score_of(arm, counts, cost, latency), evidence=counts))
    return options


async def _kept(room: Room, namespace: str, pool: str, best: Option) -> str:
    """Write down what was recommended, so that its outcome finds the path."""
    run = Run(new_call_id(room.now_unix_ns), pool, room.now_ms, arm=best.arm)
    return (await room.runs.change(namespace, run.call_id, lambda _: run)).call_id


def _nothing(goal: str, advice: Advice) -> ApiProblem:
    left = "; ".join(f"{model} by {unmet}" for model, unmet in advice.left_out[:10])
    detail = f"For goal {goal!r} {advice.reasoning}{f': left out are {left}' if left else ''}."
    return ApiProblem(404, detail, "no-policy", where="goal")


def option_json(option: Option) -> dict[str, Any]:
    """Give an option as the client reads it; what is unknown is null."""
    return {
        "model_id": option.model_id,
        "model": option.model_id,
        "provider": option.arm.provider,
        "tool_id": option.tool_id or None,
        "params": dict(option.params) or None,
        "success_rate": option.rate,
        "outcome_success_rate": option.rate,
        "sample_count": option.samples,
        "outcome_sample_count": option.samples,
        "confidence": option.confidence,
        "risk_score": option.risk_score,
        "avg_cost_usd": option.score.cost_usd,
        "latency_p50_ms": option.score.latency_ms,
    }


def _policy_json(
    body: PolicyBody, advice: Advice, best: Option, trace_id: str
) -> Mapping[str, Any]:
    shown = option_json(best)
    return {
        **shown,
        "goal": body.goal,
        "recommended_model": best.model_id,
        "recommended_provider": best.arm.provider,
        "recommended_tool": shown["tool_id"],
        "recommended_params": shown["params"],
        "reasoning": advice.reasoning,
        "alternatives": [option_json(option) for option in advice.others],
        "trace_id": trace_id,
        "policy_id": trace_id,
        "constraints": body.constraints or None,
        "risk_level": best.risk,
        "metadata": {"left_out": [
            {"model_id": model, "constraint": unmet} for model, unmet in advice.left_out
        ]},
    }  # fmt: skip


def _recommendation_json(body: PolicyBody, advice: Advice) -> Mapping[str, Any]:
    best = advice.best
    shown = {} if best is None else option_json(best)
    options = [*(() if best is None else (best,)), *advice.others]
    return {
        **shown,
        "task_type": body.task_type or None,
        "goal": body.goal or None,
        "optimize_for": body.optimize_for or "balanced",
        "recommendation": shown or None,
        "alternatives": [option_json(option) for option in advice.others],
        "stats": {
            "models": len(options),
            "outcomes": sum(option.samples for option in options),
            "left_out": len(advice.left_out),
            "constraints": asdict(Constraints.of(body.constraints)),
        },
        "reasoning": advice.reasoning,
        "reason": advice.reasoning,
    }


OPERATIONS: Final = (
    operation("POST", "/api/v1/intelligence/policy", "Policy", policy, Act.SEND_SIGNALS),
    operation("POST", "/api/v1/intelligence/recommend", "Recommend", recommend, Act.READ_SCORES),
)
