"""Router versions as JSON, which keeps every number as it is: digests stay the same. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from remora.learning.arms import Arm
from remora.learning.beta import Beta
from remora.learning.change import Shift
from remora.learning.counts import Counts
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora.learning.versions import RouterVersion


def written_version(version: RouterVersion) -> str:
    """Write a version."""
    document = {
        "number": version.number,
        "made_ms": version.made_ms,
        "note": version.note,
        "goals": {name: _goal(scores) for name, scores in version.goals.items()},
    }
    return json.dumps(document, separators=(",", ":"))


def read_version(text: str) -> RouterVersion:
    """Read what `written_version` wrote."""
    document = json.loads(text)
    return RouterVersion(
        number=document["number"],
        made_ms=document["made_ms"],
        goals={name: _read_goal(each) for name, each in document["goals"].items()},
        note=document["note"],
    )


def written_settings(settings: LearningSettings) -> str:
    """Write the settings of a goal."""
    return json.dumps(settings.as_mapping(), separators=(",", ":"))


def read_settings(text: str) -> LearningSettings:
    """Read what `written_settings` wrote."""
    return LearningSettings.from_mapping(json.loads(text))


def _goal(scores: GoalScores) -> Mapping[str, Any]:
    return {
        "goal": scores.goal,
        "settings": scores.settings.as_mapping(),
        "arms": [_arm(score) for score in scores.arms],
    }


def _read_goal(document: Mapping[str, Any]) -> GoalScores:
    return GoalScores(
        goal=document["goal"],
        arms=tuple(map(_read_arm, document["arms"])),
        settings=LearningSettings.from_mapping(document["settings"]),
    )


def _arm(score: ArmScore) -> Mapping[str, Any]:
    arm, shift = score.arm, score.shift
    return {
        "provider": arm.provider,
        "model": arm.model,
        "parameters": dict(arm.parameters),
        "posterior": list(score.posterior),
        "samples": score.samples,
        "cost_usd": score.cost_usd,
        "latency_ms": score.latency_ms,
        "is_stale": score.is_stale,
        "shift": None if shift is None else [shift.at_ms, *map(list, shift[1:])],
    }


def _read_arm(document: Mapping[str, Any]) -> ArmScore:
    shift = document["shift"]
    return ArmScore(
        arm=Arm(document["provider"], document["model"], document["parameters"]),
        posterior=Beta(*document["posterior"]),
        samples=document["samples"],
        cost_usd=document["cost_usd"],
        latency_ms=document["latency_ms"],
        is_stale=document["is_stale"],
        shift=None if shift is None else Shift(shift[0], Counts(*shift[1]), Counts(*shift[2])),
    )
