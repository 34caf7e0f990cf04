"""What a report of a goal is made of: evidence in a window, and whether to go back. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from remora.learning.counts import NOTHING, Counts
from remora.learning.insights import GoalReport, Insight, report
from remora.learning.reporters import limited
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.series import Series
from remora.learning.settings import DAY_MS, LearningSettings
from remora.learning.versions import should_roll_back
from remora_aggregator.signals.ports import ArmSums, VersionBook
from remora_aggregator.signals.scoring import Level, Place

DEFAULT_WINDOW_MS = 7 * DAY_MS


class ArmWindow(NamedTuple):
    """What happened with an arm in a window.

    Attributes:
        calls: Judged or not.
    """

    score: ArmScore
    evidence: Counts
    calls: int


@dataclass(frozen=True, slots=True)
class GoalInWindow:
    """How a goal does.

    Attributes:
        arms: Those that had calls or evidence there, by their keys.
        version: The router version in force; 0: none.
        last_ms: When the last call began; 0: there was none.
    """

    report: GoalReport
    arms: tuple[ArmWindow, ...]
    settings: LearningSettings
    version: int = 0
    last_ms: int = 0


def in_window(
    scores: GoalScores,
    sums: Iterable[ArmSums],
    place: Place,
    failures: Mapping[str, int],
    book: VersionBook,
    *,
    since_ms: int,
    last_ms: int = 0,
    advice: Insight | None = None,
) -> GoalInWindow:
    """Say how a goal does.

    Args:
        scores: Of its arms, at the place.
        sums: What is known of it since the window began.
        place: Whose calls are looked at.
        failures: How often each category of failure occurred in the window.
        book: The namespace's versions.
        since_ms: When the window began.
        last_ms: When the goal's last call began.
        advice: What is to be known beside.
    """
    levels, calls = _own(sums, place)
    share = scores.settings.reporter_share
    evidence = {
        key: _since(limited(one.by_reporter, share), since_ms) for key, one in levels.items()
    }
    own = tuple(arm for arm in scores.arms if arm.arm.key in levels)
    found = report(GoalScores(scores.goal, own, scores.settings), evidence, failures)
    if advice is not None:
        found = replace(found, insights=(advice, *found.insights))
    arms = (ArmWindow(arm, evidence[arm.arm.key], calls[arm.arm.key]) for arm in own)
    number = book.history.in_force or 0
    return GoalInWindow(found, tuple(arms), scores.settings, number, last_ms)


def _own(sums: Iterable[ArmSums], place: Place) -> tuple[Mapping[str, Level], Mapping[str, int]]:
    levels: dict[str, Level] = {}
    calls: dict[str, int] = {}
    for one in sums:
        if one.namespace == place.namespace and place.workload in ("", one.workload):
            levels.setdefault(one.arm.key, Level()).add(one)
            calls[one.arm.key] = calls.get(one.arm.key, 0) + one.calls
    return levels, calls


def _since(series: Series, since_ms: int) -> Counts:
    counts = NOTHING
    for bucket, known in series.buckets():
        if bucket.end_ms > since_ms:
            counts = counts.plus(known)
    return counts


def going_back(
    goal: str,
    sums: Iterable[ArmSums],
    namespace: str,
    settings: LearningSettings,
    book: VersionBook,
) -> Insight | None:
    """Say whether answers got so much worse under the version in force that one should go back.

    Args:
        goal: Its name.
        sums: What is known of it.
        namespace: Whose versions they are.
        settings: Of the goal.
        book: The versions.
    """
    if not book.history.steps or book.goes_back:
        return None
    before, after = _around(sums, namespace, settings, book.since_ms)
    is_worse = should_roll_back(
        before, after, threshold=settings.rollback_threshold, min_samples=settings.min_samples
    )
    if not is_worse:
        return None
    number, other = book.history.in_force, book.history.steps[-1]
    figures: dict[str, float | str] = {
        "rate_before": before.rate or 0.0,
        "rate_after": after.rate or 0.0,
        "samples_before": before.weight,
        "samples_after": after.weight,
        "version": float(number or 0),
        "version_before": float(other),
        "at_ms": float(book.since_ms),
    }
    advice = f"go back to version {other}: answers got worse since version {number} is in force"
    return Insight("drift_detected", goal, "", figures, advice)


def _around(
    sums: Iterable[ArmSums], namespace: str, settings: LearningSettings, at_ms: int
) -> tuple[Counts, Counts]:
    """Add up the evidence of calls of some days before a time, and of all after it."""
    before = after = NOTHING
    levels, _ = _own(sums, Place(namespace))
    for level in levels.values():
        for bucket, counts in limited(level.by_reporter, settings.reporter_share).buckets():
            if bucket.start_ms >= at_ms:
                after = after.plus(counts)
            elif at_ms - DEFAULT_WINDOW_MS < bucket.end_ms <= at_ms:
                before = before.plus(counts)
    return before, after
