"""Which arm a call goes to, how likely that was, and why each other one was not taken.

A `Chooser` is made of each snapshot of a goal's scores. What a decision needs is a table,
worked out once for each set of arms that calls may go to; a decision is a look at it and one or two
random numbers.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

from remora.learning.chances import best_chances
from remora.learning.quality import standings
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings

Risk = Literal["low", "medium", "high"]
Reason = Literal["exploitation", "thompson", "exploration"]

MAX_TABLES = 64
"""Sets of arms whose tables are kept; a set more makes all of them anew."""


class Decision(NamedTuple):
    """What was decided.

    Attributes:
        arm: Position of the arm among the goal's.
        propensity: How likely it was that this arm is taken: exactly the chance it was drawn with.
        reason: ``exploitation``: it is what would be taken if nothing were left to chance;
            ``thompson``: it may be better; ``exploration``: any arm, so that changes are noticed.
        propensities: Of all the goal's arms.
        notes: Of all of them, one word for why they were not likelier, empty for those that were
            in the race: ``worse``; ``tied``: as good as a cheaper or faster one; ``rolled-back``:
            fell far; ``unavailable``.
    """

    arm: int
    propensity: float
    reason: Reason
    propensities: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def is_exploration(self) -> bool:
        """Whether something else is thought to be better."""
        return self.reason != "exploitation"


@dataclass(frozen=True, slots=True)
class Table:
    """What decisions among a set of arms come to.

    Attributes:
        greedy: Position of the arm that is taken if nothing is left to chance.
        arms: Positions of the arms that Thompson sampling may take.
        ends: Where the share of each of them ends, from 0 to 1.
        explored: Positions of the arms that are explored.
        propensities: Of all the goal's arms, exploration included.
        notes: Of all of them.
    """

    greedy: int
    arms: tuple[int, ...]
    ends: tuple[float, ...]
    explored: tuple[int, ...]
    exploration_rate: float
    propensities: tuple[float, ...]
    notes: tuple[str, ...]

    def decision(self, arm: int, reason: Reason) -> Decision:
        """Say what was decided."""
        return Decision(arm, self.propensities[arm], reason, self.propensities, self.notes)


class Chooser:
    """Decides by one snapshot of a goal's scores."""

    def __init__(self, scores: GoalScores) -> None:
        """Take the scores, and make the table for the case that all arms may be taken."""
        self.scores = scores
        self._all = tuple(range(len(scores.arms)))
        self._tables: dict[tuple[tuple[int, ...], Risk], Table] = {}
        self.table(self._all)

    def choose(
        self, chance: random.Random, *, risk: Risk = "low", among: Sequence[int] | None = None
    ) -> Decision:
        """Choose an arm.

        Args:
            chance: Where randomness comes from.
            risk: At ``high`` nothing is left to chance; ``exploration_rate`` holds at ``low``.
            among: Positions of the arms that the call may go to, ascending; None: all.

        Raises:
            ValueError: There is no arm.
        """
        table = self.table(self._all if among is None else tuple(among), risk)
        if risk == "high":
            return table.decision(table.greedy, "exploitation")
        if table.exploration_rate and chance.random() < table.exploration_rate:
            return table.decision(chance.choice(table.explored), "exploration")
        arm = table.arms[bisect_right(table.ends, chance.random())]
        return table.decision(arm, "exploitation" if arm == table.greedy else "thompson")

    def table(self, among: tuple[int, ...], risk: Risk = "low") -> Table:
        """Give the table for some arms; of another set of them than before it is made."""
        table = self._tables.get((among, risk))
        if table is None:
            if len(self._tables) >= MAX_TABLES:
                self._tables.clear()
            table = self._tables[among, risk] = _table(self.scores, among, risk)
        return table


def _table(scores: GoalScores, among: tuple[int, ...], risk: Risk) -> Table:
    if not among:
        raise ValueError(f"goal {scores.goal!r} has no arm to choose")
    settings = scores.settings
    notes = [""] * len(scores.arms)
    running = _without_fallen(scores, among, notes)
    shares = _thompson(scores, running, notes)
    greedy = _greedy(scores, running)
    explored = _explored(scores, among)
    rate = settings.exploration_rate if risk == "low" else 0.0
    if risk == "high":
        shares = {greedy: 1.0}
        for arm in running:
            notes[arm] = "" if arm == greedy else notes[arm] or "worse"
    propensities = [0.0] * len(scores.arms)
    for arm, share in shares.items():
        propensities[arm] += (1 - rate) * share
    for arm in explored:
        propensities[arm] += rate / len(explored)
    ends = list(accumulate(shares.values()))
    ends[-1] = 1.0  # whatever the sum of floats is
    for arm in set(range(len(scores.arms))) - set(among):
        notes[arm] = "unavailable"
    return Table(
        greedy, tuple(shares), tuple(ends), explored, rate, tuple(propensities), tuple(notes)
    )


def _without_fallen(scores: GoalScores, among: Sequence[int], notes: list[str]) -> list[int]:
    """Leave out arms that fell far, as long as there is one left that is as good as they are."""
    fallen = [arm for arm in among if _has_fallen(scores.arms[arm], scores.settings)]
    rest = [arm for arm in among if arm not in fallen]
    if not rest:
        return list(among)
    level = max(scores.arms[arm].posterior.mean for arm in rest)
    out = [arm for arm in fallen if scores.arms[arm].posterior.mean <= level]
    for arm in out:
        notes[arm] = "rolled-back"
    return [arm for arm in among if arm not in out]


def _has_fallen(score: ArmScore, settings: LearningSettings) -> bool:
    shift = score.shift
    return (
        shift is not None
        and not score.is_stale
        and shift.before.weight >= settings.min_samples
        and shift.fall >= settings.rollback_threshold
    )


def _thompson(scores: GoalScores, running: Sequence[int], notes: list[str]) -> dict[int, float]:
    """Say how likely Thompson sampling takes each of some arms."""
    settings = scores.settings
    arms = [scores.arms[arm] for arm in running]
    chances = best_chances([arm.posterior.sharpened(settings.sharpness) for arm in arms])
    for position, score in enumerate(arms):
        if score.samples < settings.min_samples:
            chances[position] = max(chances[position], settings.newcomer_chance)
    taken = standings(arms, settings)
    shares: dict[int, float] = {}
    for position, chance in enumerate(chances):
        if chance < settings.least_chance:
            notes[running[position]] = "worse"
            continue
        arm = running[taken[position]]
        shares[arm] = shares.get(arm, 0.0) + chance
        if arm != running[position]:
            notes[running[position]] = "tied"
    whole = sum(shares.values())
    for arm in shares:
        notes[arm] = ""
    return {arm: share / whole for arm, share in sorted(shares.items())}


def _greedy(scores: GoalScores, running: Sequence[int]) -> int:
    """Say which arm is taken if nothing is left to chance: of the well known ones if there are."""
    settings = scores.settings
    known = [arm for arm in running if scores.arms[arm].samples >= settings.min_samples]
    known = known or list(running)
    arms = [scores.arms[arm] for arm in known]
    best = max(range(len(arms)), key=lambda position: arms[position].posterior.mean)
    return known[standings(arms, settings)[best]]


def _explored(scores: GoalScores, among: Sequence[int]) -> tuple[int, ...]:
    """Choose what is explored: what is little known or was long not looked at, else anything."""
    settings = scores.settings
    unsure = [
        arm
        for arm in among
        if scores.arms[arm].is_stale or scores.arms[arm].samples < settings.min_samples
    ]
    return tuple(unsure or among)


def why(scores: GoalScores, decision: Decision) -> str:
    """Say in a sentence why an arm was chosen, for people."""
    arm = scores.arms[decision.arm]
    words = {
        "exploitation": "the best that is known",
        "thompson": "it may be the best",
        "exploration": "any arm, so that changes are noticed",
    }
    tied = [scores.arms[n].arm.key for n, note in enumerate(decision.notes) if note == "tied"]
    others = f", about as good as {', '.join(tied)} and preferred for cost or latency"
    known = f"{arm.posterior.mean:.1%} of {arm.samples:.0f} answers good"
    is_tied = tied and decision.reason == "exploitation"
    return f"{arm.arm.key}: {words[decision.reason]}{others if is_tied else ''} ({known})"
