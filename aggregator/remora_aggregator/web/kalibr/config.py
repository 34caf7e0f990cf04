"""Settings of goals: ``/api/v1/routing/config``, the same that `remora scores` reads and writes."""

from typing import Any, Final

from aiohttp import web

from remora.learning.settings import DAY_MS, LearningSettings
from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.names import ALL_GOALS
from remora_aggregator.signals.ports import GoalKey
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import ConfigBody, Text
from remora_aggregator.web.kalibr.reading import (
    LenientParameters,
    NothingAsked,
    body_of,
    goal_in,
    namespace_of,
)
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem


class ConfigParameters(LenientParameters):
    """Whose settings."""

    goal: Text = ALL_GOALS


async def show(request: web.Request, asked: ConfigParameters) -> web.StreamResponse:
    """Give the settings of a goal, else those of all goals."""
    async with in_time(front_of(request).bounds):
        shown = await _config(room_of(request), namespace_of(request), _goal(asked.goal))
    return json_answer(shown)


async def put(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Set what is given of a goal's settings."""
    del asked
    body, namespace, room = (
        await body_of(request, ConfigBody),
        namespace_of(request),
        room_of(request),
    )
    goal = _goal(body.goal)
    async with in_time(front_of(request).bounds):
        settings = _changed(await room.settings(namespace, goal), body)
        await room.scores.put_settings(GoalKey(namespace, goal), settings)
        if body.exploration_on_high_risk is not None:
            await room.paths.put_explores_at_high_risk(
                namespace, goal, explores=body.exploration_on_high_risk
            )
        shown = await _config(room, namespace, goal)
    return json_answer(shown)


def _goal(goal: str) -> str:
    return ALL_GOALS if goal in ("", ALL_GOALS) else goal_in(goal)


def _changed(settings: LearningSettings, body: ConfigBody) -> LearningSettings:
    days = body.staleness_days
    given = {
        "exploration_rate": body.exploration_rate,
        "min_samples": body.min_samples_before_exploit,
        "rollback_threshold": body.rollback_threshold,
        "staleness_ms": None if days is None else round(days * DAY_MS),
    }
    try:
        return LearningSettings.from_mapping(
            {**settings.as_mapping(), **{name: it for name, it in given.items() if it is not None}}
        )
    except ValueError as error:
        raise ApiProblem(400, f"{error}.", "bad-member") from None


async def _config(room: Room, namespace: str, goal: str) -> dict[str, Any]:
    settings = await room.settings(namespace, goal)
    days = settings.staleness_ms / DAY_MS
    return {
        "goal": goal,
        "exploration_rate": settings.exploration_rate,
        "min_samples_before_exploit": _plain(settings.min_samples),
        "rollback_threshold": settings.rollback_threshold,
        "staleness_days": _plain(days),
        "exploration_on_high_risk": await room.paths.explores_at_high_risk(namespace, goal),
    }


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value


_PATH: Final = "/api/v1/routing/config"
OPERATIONS: Final = (
    operation("GET", _PATH, "ShowConfig", show, Act.READ_SCORES, ConfigParameters),
    operation("POST", _PATH, "PutConfig", put, Act.STEER_SCORES),
)
