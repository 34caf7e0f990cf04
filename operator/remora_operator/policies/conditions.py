"""Conditions of a status, as Kubernetes' API conventions have them. Pure.

Source: the section "Typical status properties" of the API conventions in kubernetes/community, and
`Condition` of apimachinery's meta/v1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

ConditionType = Literal["Accepted", "Enforced", "Conflicted", "RestartRequired"]
ConditionStatus = Literal["True", "False", "Unknown"]

_MAX_MESSAGE_CHARACTERS = 2048


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of an object.

    Attributes:
        type: Which one.
        status: Whether it holds.
        reason: Why, for programs: one word in CamelCase.
        message: Why and what to do, for people.
        generation: Of the object's spec that this is about.
        since: When `status` changed last; None: now, which `settled` fills in.
    """

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    generation: int
    since: datetime | None = None

    def to_json(self) -> Mapping[str, object]:
        """Write it as ``status.conditions`` holds it."""
        since = self.since or datetime.fromtimestamp(0, UTC)
        return {
            "type": self.type,
            "status": self.status,
            "observedGeneration": self.generation,
            "lastTransitionTime": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reason": self.reason,
            "message": self.message,
        }


def settled(
    wanted: Sequence[Condition], before: Sequence[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Date conditions: from before where the status is the same, else from now.

    Args:
        wanted: As they are to be.
        before: As they stand on the object.
        now: An aware time.
    """
    former = {condition.type: condition for condition in before}
    return tuple(_dated(condition, former.get(condition.type), now) for condition in wanted)


def _dated(wanted: Condition, before: Condition | None, now: datetime) -> Condition:
    is_same = before is not None and before.status == wanted.status
    since = before.since if is_same and before is not None else None
    message = wanted.message
    if len(message) > _MAX_MESSAGE_CHARACTERS:
        message = message[: _MAX_MESSAGE_CHARACTERS - 1] + "…"
    return replace(wanted, message=message, since=since or now.replace(microsecond=0))
