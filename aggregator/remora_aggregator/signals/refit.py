"""When versions are made anew, and what the gate says of a new one. Pure.

Scores stand on the very calls that the gate looks at, and would be flattered by them. So the log
is cut into two halves by time, and each is judged with scores that were made without the calls of
its time: what such scores would have earned on calls that they know nothing of.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import time
from typing import NamedTuple

from remora.learning.gate import GateRules, Verdict, judge, policy_of
from remora.learning.offpolicy import Logged, Policy
from remora.learning.scores import GoalScores
from remora.learning.series import Series
from remora.learning.settings import DAY_MS
from remora.learning.versions import RouterVersion
from remora_aggregator.signals.ports import ArmSums, Judged
from remora_aggregator.signals.trial import JudgedTrial

MOST_CALLS = 10_000
"""Of a log that has more, the newest so many are looked at."""


class LoggedAt(NamedTuple):
    """A decision that was judged, and when its call began, in milliseconds since 1970."""

    at_ms: int
    call: Logged


class Unseen(NamedTuple):
    """Scores that were made without the calls of a part of the log.

    Attributes:
        early: Without those before the log is cut.
        late: Without those after.
    """

    early: RouterVersion
    late: RouterVersion


def last_due_ms(at: time, now_ms: int) -> int:
    """Say when a time of day was last, in UTC."""
    of_day_ms = ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000
    return (now_ms - of_day_ms) // DAY_MS * DAY_MS + of_day_ms


def logged(trial: JudgedTrial) -> LoggedAt | None:
    """Read a logged decision; None where nothing can be told by it."""
    evidence, told = trial.evidence, trial.trial
    if evidence is None or not told.propensity or not evidence.confidence:
        return None
    key = told.arm.key
    call = Logged(
        goal=told.goal,
        arm=key,
        propensity=told.propensity,
        reward=evidence.strength,
        arms=told.arms or (key,),
        confidence=evidence.confidence,
    )
    return LoggedAt(told.at_ms, call)


def cut_of(log: Sequence[LoggedAt]) -> int:
    """Say where a log is cut in two, in milliseconds; it is in the order of time and not empty."""
    return log[len(log) // 2].at_ms


def without(sums: Iterable[ArmSums], part: Iterable[ArmSums]) -> list[ArmSums]:
    """Take evidence out of sums that have all of it in them."""
    taken = {_place(one): one.by_reporter for one in part}
    return [
        replace(one, by_reporter=_rest(one.by_reporter, taken.get(_place(one), {}))) for one in sums
    ]


def _place(sums: ArmSums) -> tuple[str, str, str]:
    return sums.namespace, sums.workload, sums.arm.key


def _rest(whole: Mapping[str, Series], part: Mapping[str, Series]) -> dict[str, Series]:
    return {
        reporter: series.without(part[reporter]) if reporter in part else series
        for reporter, series in whole.items()
    }


def unseen(
    whole: Sequence[ArmSums],
    since: Sequence[ArmSums],
    late: Sequence[ArmSums],
    score: Callable[[Sequence[ArmSums]], GoalScores],
) -> tuple[GoalScores, GoalScores]:
    """Make a goal's scores without the evidence of each half of the log.

    Args:
        whole: All that scores stand on.
        since: Of it, evidence of calls since the log begins.
        late: Of that, of calls since it is cut.
        score: Makes scores.

    Returns:
        Those without the early half, then those without the late one.
    """
    return score(without(whole, without(since, late))), score(without(whole, late))


def judged(
    log: Sequence[LoggedAt], old: RouterVersion, new: Unseen, rules: GateRules | None = None
) -> Judged:
    """Have the gate judge new scores against those in force.

    Args:
        log: In the order of time.
        old: The version in force.
        new: The new scores, as they would be without what they are judged by.
        rules: What they have to show.
    """
    if not log:
        return Judged("undecided", f"no decision was judged since version {old.number} was made")
    calls = [one.call for one in log]
    try:
        verdict = judge(calls, _policy(old), _either(log, new), rules or GateRules())
    except ValueError as error:
        return Judged("undecided", f"the log can't be read: {error}")
    return _told(verdict)


def _either(log: Sequence[LoggedAt], new: Unseen) -> Policy:
    """Decide each call as those scores would that do not know it."""
    cut = cut_of(log)
    is_early = {id(one.call) for one in log if one.at_ms < cut}
    early, late = _policy(new.early), _policy(new.late)
    return lambda call: (early if id(call) in is_early else late)(call)


def _policy(version: RouterVersion) -> Policy:
    """Decide by a version; goals of which it knows no arm as those that it does not know."""
    goals = {name: scores for name, scores in version.goals.items() if scores.arms}
    return policy_of(replace(version, goals=goals))


def _told(verdict: Verdict) -> Judged:
    mean, low, high = verdict.advantage
    if not all(map(math.isfinite, (mean, low, high))):
        return Judged(verdict.result, verdict.reason)
    return Judged(verdict.result, verdict.reason, mean, (low, high))
