"""Which path a call takes: a draw by the scores of the paths' arms. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from remora.learning.beta import wilson
from remora.learning.counts import MILLION, Counts
from remora.learning.decision import Chooser, Decision, Risk, why
from remora.learning.scores import ArmScore, GoalScores
from remora_aggregator.signals.kalibr_paths import Path


@dataclass(frozen=True, slots=True)
class Choice:
    """A path that was chosen, and what by.

    Attributes:
        score: Of its arm.
        paths: All that it was chosen from.
        arms: Keys of their arms.
        reason: A word, for programs.
        explanation: A sentence, for people.
        confidence: How sure its share of good answers is known: 1 less the width of its interval
            of 95 %.
    """

    path: Path
    score: ArmScore
    decision: Decision
    paths: tuple[Path, ...]
    arms: tuple[str, ...]
    reason: str
    explanation: str
    confidence: float


def choose(
    scores: GoalScores,
    paths: Sequence[Path],
    chance: random.Random,
    *,
    risk: Risk = "low",
    explores_at_high_risk: bool = False,
) -> Choice:
    """Draw one of some paths.

    Args:
        scores: Of the goal; arms that they do not have are believed to be anything.
        paths: Those that the call may take, each of another arm.
        chance: Where randomness comes from.
        risk: Of the task.
        explores_at_high_risk: Whether to decide at risk ``high`` as at ``low``.

    Raises:
        ValueError: There is no path.
    """
    known = {score.arm.key: score for score in scores.arms}
    arms = tuple(known.get(path.arm.key) or ArmScore(path.arm) for path in paths)
    own = GoalScores(scores.goal, arms, scores.settings)
    used: Risk = "low" if risk == "high" and explores_at_high_risk else risk
    decision = Chooser(own).choose(chance, risk=used)
    score = arms[decision.arm]
    return Choice(
        path=paths[decision.arm],
        score=score,
        decision=decision,
        paths=tuple(paths),
        arms=tuple(arm.arm.key for arm in arms),
        reason=_reason(decision, arms),
        explanation=why(own, decision),
        confidence=confidence_of(score),
    )


def _reason(decision: Decision, arms: Sequence[ArmScore]) -> str:
    """Give the word that programs know first."""
    if decision.reason == "exploration":
        return "exploration_random"
    if not any(arm.samples for arm in arms):
        return "exploration_cold_start"
    return "exploitation" if decision.reason == "exploitation" else "exploration_thompson"


def confidence_of(score: ArmScore) -> float:
    """Say how sure an arm's share of good answers is known, from 0 to 1."""
    low, high = wilson(counts_of_score(score))
    return round(1 - (high - low), 4)


def counts_of_score(score: ArmScore) -> Counts:
    """Give the answers that a score stands on, as many good ones as the belief says."""
    good = round(score.samples * score.posterior.mean * MILLION)
    return Counts(good, round(score.samples * MILLION) - good)


def rate_of(score: ArmScore) -> float | None:
    """Give an arm's share of good answers as it is expected; None where nothing is known."""
    return round(score.posterior.mean, 6) if score.samples else None
