"""Decisions: ``/api/v1/routing/decide``, and another one where some models failed."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from remora.ids import new_call_id
from remora.learning.decision import Risk
from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_deciding import Choice, choose
from remora_aggregator.signals.kalibr_models import pooled, provider_and_model
from remora_aggregator.signals.kalibr_paths import Path, eligible
from remora_aggregator.signals.kalibr_runs import Run, begun_by
from remora_aggregator.signals.kalibr_spans import iso_of
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import AlternativeBody, DecideBody
from remora_aggregator.web.kalibr.reading import NothingAsked, body_of, goal_in, namespace_of
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem


async def decide(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Draw a path for a call."""
    del asked
    body = await body_of(request, DecideBody)
    goal, candidates, risk = goal_in(body.goal), body.candidate_model_ids, body.task_risk_level
    return await _decided(request, goal, body.pipeline_id, candidates, risk, ())


async def alternative(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Draw a path for a call that some models failed at."""
    del asked
    body = await body_of(request, AlternativeBody)
    goal, candidates, risk = goal_in(body.goal), body.candidate_model_ids, body.task_risk_level
    return await _decided(request, goal, body.pipeline_id, candidates, risk, body.exclude_models)


async def _decided(
    request: web.Request, goal: str, pipeline_id: str, candidates: Sequence[str] | None,
    risk: Risk, excluded: Sequence[str],
) -> web.StreamResponse:  # fmt: skip
    room, namespace = room_of(request), namespace_of(request)
    pool = goal_in(pooled(goal, pipeline_id))
    async with in_time(front_of(request).bounds):
        known = await room.paths.paths(namespace, goal)
        tried = {provider_and_model(model) for model in excluded}
        usable = [
            path for path in eligible(goal, known, candidates, risk)
            if provider_and_model(path.model_id) not in tried
        ]  # fmt: skip
        if not usable:
            raise _nothing_left(goal, known, excluded)
        scores = await room.live_scores(namespace, goal, pool)
        explores = await room.paths.explores_at_high_risk(namespace, goal)
        choice = choose(scores, usable, room.chance, risk=risk, explores_at_high_risk=explores)
        run = await _kept(room, namespace, pool, choice)
    return json_answer(_decision_json(run, goal, choice))


async def _kept(room: Room, namespace: str, pool: str, choice: Choice) -> Run:
    """Write the decision down: its outcome comes with no more than the trace id."""
    run = Run(
        new_call_id(room.now_unix_ns), pool, room.now_ms,
        arm=choice.path.arm, path_id=choice.path.path_id,
        propensity=choice.decision.propensity, arms=choice.arms,
    )  # fmt: skip
    return await room.runs.change(
        namespace, run.call_id, lambda known: run if known is None else begun_by(known, run)
    )


def _nothing_left(goal: str, known: Sequence[Path], excluded: Sequence[str]) -> ApiProblem:
    if not known:
        detail = f"Goal {goal!r} has no path."
    elif excluded:
        detail = f"Goal {goal!r} has no other path than those that are excluded."
    else:
        detail = f"Goal {goal!r} has {len(known)} paths, none of them enabled and of a candidate."
    remedy = "Register a path with POST /api/v1/routing/paths, or name candidate_model_ids."
    return ApiProblem(404, detail, "no-path", where="goal", remedy=remedy)


def _decision_json(run: Run, goal: str, choice: Choice) -> dict[str, Any]:
    path, decision = choice.path, choice.decision
    return {
        "trace_id": run.call_id,
        "path_id": path.path_id,
        "model_id": path.model_id,
        "tool_id": path.tool_id or None,
        "params": dict(path.params) or None,
        "goal": goal,
        "reason": choice.reason,
        "explanation": choice.explanation,
        "confidence": choice.confidence,
        "exploration": decision.is_exploration,
        "is_exploration": decision.is_exploration,
        "success_rate": round(choice.score.posterior.mean, 6),
        "sample_count": round(choice.score.samples),
        "decided_at": iso_of(run.at_ms * 1_000_000),
        "alternatives_considered": len(choice.paths),
        "propensity": decision.propensity,
        "candidates": [
            {
                "path_id": one.path_id, "model_id": one.model_id,
                "propensity": decision.propensities[number], "note": decision.notes[number],
            }
            for number, one in enumerate(choice.paths)
        ],
    }  # fmt: skip


OPERATIONS: Final = (
    operation("POST", "/api/v1/routing/decide", "Decide", decide, Act.SEND_SIGNALS),
    operation(
        "POST", "/api/v1/intelligence/get-alternative", "Alternative", alternative, Act.SEND_SIGNALS
    ),
)
