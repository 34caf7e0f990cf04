"""Router versions: scores and settings as one value that can be compared, kept and gone back to."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from remora.learning.counts import Counts
from remora.learning.scores import ArmScore, GoalScores


@dataclass(frozen=True, slots=True)
class RouterVersion:
    """All that decisions go by, at one time.

    Attributes:
        number: Counts up within a history, from 1.
        made_ms: When it was made, in milliseconds since 1970.
        goals: By name.
        note: Why it was made.
    """

    number: int
    made_ms: int
    goals: Mapping[str, GoalScores]
    note: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of what it decides by, in hex: equal for versions that decide alike."""
        shown = {name: _shown(scores) for name, scores in self.goals.items()}
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Difference(NamedTuple):
    """Something that is otherwise in another version.

    Attributes:
        arm: Its key; empty for a setting.
        field: Of the settings or of the score; ``arm`` for one that came or went.
        before: None where it was not.
        after: None where it is no more.
    """

    goal: str
    arm: str
    field: str
    before: object
    after: object


def differences(old: RouterVersion, new: RouterVersion) -> list[Difference]:
    """List what is otherwise in a new version, by goal and arm."""
    return [
        difference
        for goal in sorted(old.goals.keys() | new.goals.keys())
        for difference in _of_goal(goal, old.goals.get(goal), new.goals.get(goal))
    ]


def _of_goal(goal: str, old: GoalScores | None, new: GoalScores | None) -> Iterator[Difference]:
    before, after = (None if s is None else s.settings.as_mapping() for s in (old, new))
    for name in (before or after or {}) if before != after else ():
        values = [None if side is None else side[name] for side in (before, after)]
        if values[0] != values[1]:
            yield Difference(goal, "", name, *values)
    arms = [{s.arm.key: s for s in side.arms} if side else {} for side in (old, new)]
    for key in sorted(arms[0].keys() | arms[1].keys()):
        yield from _of_arm(goal, key, arms[0].get(key), arms[1].get(key))


def _of_arm(
    goal: str, key: str, old: ArmScore | None, new: ArmScore | None
) -> Iterator[Difference]:
    if old is None or new is None:
        yield Difference(goal, key, "arm", _mean(old), _mean(new))
        return
    before, after = _shown_arm(old), _shown_arm(new)
    for field, value in before.items():
        if value != after[field]:
            yield Difference(goal, key, field, value, after[field])


def _mean(score: ArmScore | None) -> float | None:
    return None if score is None else score.posterior.mean


def _shown(scores: GoalScores) -> dict[str, Any]:
    arms = {score.arm.key: _shown_arm(score) for score in scores.arms}
    return {"settings": scores.settings.as_mapping(), "arms": arms}


def _shown_arm(score: ArmScore) -> dict[str, Any]:
    return {
        "good": score.posterior.good,
        "bad": score.posterior.bad,
        "samples": score.samples,
        "cost_usd": score.cost_usd,
        "latency_ms": score.latency_ms,
        "is_stale": score.is_stale,
        "shifted_at_ms": None if score.shift is None else score.shift.at_ms,
    }


@dataclass(frozen=True, slots=True)
class History:
    """All versions, and which of them is in force. Every step gives a new history.

    Attributes:
        versions: In the order in which they were made.
        in_force: The number of the one that decides; None before the first.
        steps: Numbers of those that were in force before, the earliest first.
    """

    versions: tuple[RouterVersion, ...] = ()
    in_force: int | None = None
    steps: tuple[int, ...] = ()

    def version(self, number: int) -> RouterVersion:
        """Give a version.

        Raises:
            LookupError: There is none of that number.
        """
        for version in self.versions:
            if version.number == number:
                return version
        raise LookupError(f"there is no router version {number}")

    def proposed(self, goals: Mapping[str, GoalScores], made_ms: int, note: str = "") -> "History":
        """Add a version; it is not in force."""
        number = 1 + max((version.number for version in self.versions), default=0)
        return replace(
            self, versions=(*self.versions, RouterVersion(number, made_ms, dict(goals), note))
        )

    def activated(self, number: int) -> "History":
        """Put a version in force.

        Raises:
            LookupError: There is none of that number.
        """
        self.version(number)
        if number == self.in_force:
            return self
        before = () if self.in_force is None else (self.in_force,)
        return replace(self, in_force=number, steps=(*self.steps, *before))

    def rolled_back(self) -> "History":
        """Put back in force what was before.

        Raises:
            LookupError: Nothing was.
        """
        if not self.steps:
            raise LookupError("no router version was in force before this one")
        return replace(self, in_force=self.steps[-1], steps=self.steps[:-1])


def should_roll_back(
    before: Counts, after: Counts, *, threshold: float, min_samples: float
) -> bool:
    """Tell whether answers got so much worse under a version that the one before is better.

    Args:
        before: Of calls that the version before decided.
        after: Of calls that this one decided.
        threshold: The fall of the share of good answers.
        min_samples: Answers that have to be known of each.
    """
    if min(before.weight, after.weight) < max(min_samples, 1):
        return False
    return (before.rate or 0.0) - (after.rate or 0.0) >= threshold
