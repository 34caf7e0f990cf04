"""Scores of learned routing to and from the wire form of ``remora.v1``.

For who keeps scores, who decides by them and who reports them. What is read may come from anybody:
what no value of `remora.learning` can be is a ValueError.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields

from remora.learning.arms import Arm, Scalar
from remora.learning.beta import Beta
from remora.learning.change import Shift
from remora.learning.counts import MILLION, Counts
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora_proto.v1 import scores_pb2 as pb

type SettingValues = Mapping[str, float | int | None]
"""Settings by name; those that are not there are as by default."""

_SETTINGS = frozenset(field.name for field in fields(LearningSettings))
_MS_NS = 1_000_000


def settings_message(values: SettingValues) -> pb.LearningSettings:
    """Write some settings; a half-life of None is written as 0.

    Raises:
        ValueError: A name is unknown.
    """
    message = pb.LearningSettings()
    for name, value in values.items():
        if name not in _SETTINGS:
            raise ValueError(f"no such setting: {name}")
        setattr(message, name, 0 if value is None else value)
    return message


def setting_values(message: pb.LearningSettings) -> dict[str, float | int | None]:
    """Read the settings that are there."""
    values: dict[str, float | int | None] = {
        field.name: value for field, value in message.ListFields() if field.name in _SETTINGS
    }
    if values.get("half_life_ms") == 0:
        values["half_life_ms"] = None
    return values


def settings_of(message: pb.LearningSettings) -> LearningSettings:
    """Read settings; what is absent is as by default.

    Raises:
        ValueError: One is out of range.
    """
    return LearningSettings.from_mapping(setting_values(message))


def parameters_text(parameters: Mapping[str, Scalar]) -> str:
    """Write an arm's parameters as a JSON object, in one way only; empty if there are none."""
    if not parameters:
        return ""
    return json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"))


def parameters_of(text: str) -> dict[str, Scalar]:
    """Read an arm's parameters.

    Raises:
        ValueError: The text is no JSON object of texts, numbers, truth values and nulls.
    """
    if not text:
        return {}
    try:
        read = json.loads(text)
    except RecursionError as error:
        raise ValueError("parameters are nested too deep") from error
    if not isinstance(read, dict) or not all(map(_is_scalar, read.values())):
        raise ValueError("parameters should be a JSON object of texts, numbers and truth values")
    return read


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def arm_message(arm: Arm) -> pb.Arm:
    """Write an arm."""
    return pb.Arm(
        provider=arm.provider, model=arm.model, parameters=parameters_text(arm.parameters)
    )


def arm_of(message: pb.Arm) -> Arm:
    """Read an arm; raises ValueError where its parameters can't be read."""
    return Arm(message.provider, message.model, parameters_of(message.parameters))


def counts_message(good: float, bad: float) -> pb.Counts:
    """Write evidence, in answers."""
    return pb.Counts(good=good, bad=bad)


def counts_of(message: pb.Counts) -> Counts:
    """Read evidence; raises ValueError where it is no number of answers."""
    good, bad = _known(message)
    return Counts(round(good * MILLION), round(bad * MILLION))


def _known(message: pb.Counts) -> tuple[float, float]:
    if not all(math.isfinite(one) and one >= 0 for one in (message.good, message.bad)):
        raise ValueError(f"evidence of {message.good} good and {message.bad} bad answers")
    return message.good, message.bad


def arm_score_message(score: ArmScore) -> pb.ArmScore:
    """Write what is known of an arm."""
    message = pb.ArmScore(
        arm=arm_message(score.arm),
        posterior=counts_message(*score.posterior),
        samples=score.samples,
        cost_usd=score.cost_usd,
        latency_ms=score.latency_ms,
        is_stale=score.is_stale,
    )
    if (shift := score.shift) is not None:
        message.shift.at_unix_nano = shift.at_ms * _MS_NS
        message.shift.before.CopyFrom(counts_message(shift.before.good, shift.before.bad))
        message.shift.after.CopyFrom(counts_message(shift.after.good, shift.after.bad))
    return message


def arm_score_of(message: pb.ArmScore) -> ArmScore:
    """Read what is known of an arm.

    Raises:
        ValueError: Its posterior is no distribution, or another of its figures no number.
    """
    posterior = Beta(*_known(message.posterior))
    if not (posterior.good > 0 and posterior.bad > 0):
        raise ValueError(f"a posterior of {posterior.good} and {posterior.bad}")
    return ArmScore(
        arm=arm_of(message.arm),
        posterior=posterior,
        samples=_figure(message.samples),
        cost_usd=_figure(message.cost_usd) if message.HasField("cost_usd") else None,
        latency_ms=_figure(message.latency_ms) if message.HasField("latency_ms") else None,
        is_stale=message.is_stale,
        shift=_shift_of(message.shift) if message.HasField("shift") else None,
    )


def _figure(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"a figure of {value}")
    return value


def _shift_of(message: pb.Shift) -> Shift:
    at_ms = message.at_unix_nano // _MS_NS
    return Shift(at_ms, counts_of(message.before), counts_of(message.after))


def goal_scores_message(
    scores: GoalScores, *, digest: str = "", made_unix_ns: int = 0, version: int = 0
) -> pb.GoalScores:
    """Write what is known of a goal's arms.

    Args:
        scores: All of it.
        digest: SHA-256 of what decisions go by, in hex.
        made_unix_ns: When it was made, in nanoseconds since 1970.
        version: The router version that it is or goes on from; 0: none.
    """
    return pb.GoalScores(
        goal=scores.goal,
        arms=map(arm_score_message, scores.arms),
        settings=settings_message(scores.settings.as_mapping()),
        digest=digest,
        made_unix_nano=made_unix_ns,
        version=version,
    )


def goal_scores_of(message: pb.GoalScores) -> GoalScores:
    """Read what is known of a goal's arms; digest, time and version stay the message's.

    Raises:
        ValueError: Something of it no decision can go by.
    """
    arms = tuple(map(arm_score_of, message.arms))
    return GoalScores(message.goal, arms, settings_of(message.settings))
