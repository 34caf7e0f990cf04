"""Paths: ``/api/v1/routing/paths``. Registered, listed, disabled."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from remora.learning.scores import ArmScore
from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_deciding import rate_of
from remora_aggregator.signals.kalibr_paths import Path
from remora_aggregator.signals.kalibr_spans import iso_of
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import Flag, PathBody, Text
from remora_aggregator.web.kalibr.reading import (
    LenientParameters,
    NothingAsked,
    body_of,
    goal_in,
    namespace_of,
)
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem

_MOST_SCORED_GOALS: Final = 50
"""Of a list of all goals, more would take long."""


class PathParameters(LenientParameters):
    """Which paths."""

    goal: Text = ""
    include_disabled: Flag = False


async def register(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Register a path; one that is known is given as it is."""
    del asked
    body, namespace, room = (
        await body_of(request, PathBody),
        namespace_of(request),
        room_of(request),
    )
    if not body.model_id:
        raise ApiProblem(400, "The path names no model.", "bad-member", where="model_id")
    path = Path(goal_in(body.goal), body.model_id, body.tool_id, body.params, body.risk_level)
    async with in_time(front_of(request).bounds):
        kept = await room.paths.register(
            namespace, path, room.now_unix_ns, enables=body.enabled is True
        )
    return json_answer({"success": True, "message": "registered", **path_json(kept)})


async def list_paths(request: web.Request, asked: PathParameters) -> web.StreamResponse:
    """List paths with what is known of them."""
    namespace, room = namespace_of(request), room_of(request)
    async with in_time(front_of(request).bounds):
        found = await room.paths.paths(namespace, asked.goal)
        paths = [path for path in found if path.is_enabled or asked.include_disabled]
        scores = await _scores(room, namespace, [path.goal for path in paths])
    shown = [{**path_json(path), **score_json(scores.get((path.goal, path.arm.key)))}
             for path in paths]  # fmt: skip
    return json_answer({"paths": shown, "total": len(shown)})


async def disable(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Have a path chosen no more; what is known of it is kept."""
    del asked
    room, path_id = room_of(request), request.match_info["path_id"]
    async with in_time(front_of(request).bounds):
        path = await room.paths.disable(namespace_of(request), path_id, room.now_unix_ns)
    if path is None:
        raise ApiProblem(404, f"There is no path {path_id[:80]!r}.", "no-path", where="path_id")
    return json_answer({"success": True, "status": "disabled", "path_id": path.path_id})


def path_json(path: Path) -> dict[str, Any]:
    """Give a path as the client reads it."""
    return {
        "path_id": path.path_id,
        "goal": path.goal,
        "model_id": path.model_id,
        "tool_id": path.tool_id or None,
        "params": dict(path.params) or None,
        "risk_level": path.risk,
        "enabled": path.is_enabled,
        "created_at": iso_of(path.created_unix_ns),
        "updated_at": iso_of(path.updated_unix_ns),
    }


def score_json(score: ArmScore | None) -> dict[str, Any]:
    """Give what is known of a path."""
    if score is None:
        return {"success_rate": None, "sample_count": 0}
    return {"success_rate": rate_of(score), "sample_count": round(score.samples)}


async def _scores(
    room: Room, namespace: str, goals: list[str]
) -> Mapping[tuple[str, str], ArmScore]:
    found: dict[tuple[str, str], ArmScore] = {}
    for goal in list(dict.fromkeys(goals))[:_MOST_SCORED_GOALS]:
        scores = await room.live_scores(namespace, goal, goal)
        found |= {(goal, score.arm.key): score for score in scores.arms}
    return found


_PATH: Final = "/api/v1/routing/paths"
OPERATIONS: Final = (
    operation("POST", _PATH, "RegisterPath", register, Act.SEND_SIGNALS),
    operation("GET", _PATH, "ListPaths", list_paths, Act.READ_SCORES, PathParameters),
    operation("DELETE", f"{_PATH}/{{path_id}}", "DisablePath", disable, Act.STEER_SCORES),
)
