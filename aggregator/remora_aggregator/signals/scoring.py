"""From what a store knows of a goal to its scores at one place. Pure.

Levels of evidence are cluster, namespace and workload, each with all of the one below in it. What
the others of a level know is limited by reporter apart from a place's own evidence, so that it can
be taken out again exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from remora.learning.arms import Arm
from remora.learning.beta import IGNORANCE
from remora.learning.reporters import limited
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.scoring import prior_of, score
from remora.learning.series import Series, merged
from remora.learning.settings import LearningSettings
from remora.learning.spending import Spending
from remora.learning.versions import RouterVersion
from remora_aggregator.signals.ports import ArmSums


class Place(NamedTuple):
    """Whose scores they are.

    Attributes:
        workload: Empty: the namespace's.
    """

    namespace: str
    workload: str = ""


@dataclass(slots=True)
class Level:
    """What is known of an arm somewhere, by reporter, and what its calls cost."""

    by_reporter: dict[str, Series] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)

    def add(self, sums: ArmSums) -> None:
        """Add sums; their series are never changed."""
        for reporter, series in sums.by_reporter.items():
            known = self.by_reporter.get(reporter)
            self.by_reporter[reporter] = series if known is None else merged((known, series))
        self.spending.merge(sums.spending)


@dataclass(slots=True)
class _Known:
    """An arm's evidence: its own at the place, and what others know, the narrowest first."""

    arm: Arm
    own: Level = field(default_factory=Level)
    others: tuple[Level, Level] = field(default_factory=lambda: (Level(), Level()))


def goal_scores(
    goal: str,
    sums: Iterable[ArmSums],
    place: Place,
    settings: LearningSettings,
    now_ms: int,
    *,
    sharing: frozenset[str] = frozenset(),
) -> GoalScores:
    """Score a goal's arms, in the order of their keys.

    Args:
        goal: Its name.
        sums: What is known of it, of any namespaces.
        place: Whose scores.
        settings: Of the goal.
        now_ms: In milliseconds since 1970.
        sharing: Namespaces that learn from each other; if the place's own is none of
            them, it learns from no other.
    """
    known = _by_arm(sums, place, sharing)
    arms = (_scored(known[key], place, settings, now_ms) for key in sorted(known))
    return GoalScores(goal, tuple(arms), settings)


def digest_of(scores: GoalScores) -> str:
    """Say by one text what decisions go by: SHA-256 in hex, as of a version of this goal alone."""
    return RouterVersion(0, 0, {scores.goal: scores}).digest


def _by_arm(sums: Iterable[ArmSums], place: Place, sharing: frozenset[str]) -> Mapping[str, _Known]:
    shares = place.namespace in sharing
    found: dict[str, _Known] = {}
    for one in sums:
        is_own = one.namespace == place.namespace
        if is_own or (shares and one.namespace in sharing):
            known = found.setdefault(one.arm.key, _Known(one.arm))
            _level(known, one, place, is_own=is_own).add(one)
    return found


def _level(known: _Known, sums: ArmSums, place: Place, *, is_own: bool) -> Level:
    if not is_own:
        return known.others[1]
    if place.workload and sums.workload != place.workload:
        return known.others[0]
    return known.own


def _scored(known: _Known, place: Place, settings: LearningSettings, now_ms: int) -> ArmScore:
    own = limited(known.own.by_reporter, settings.reporter_share)
    levels: list[Series] = []
    below = own
    for others in known.others if place.workload else known.others[1:]:
        below = merged((below, limited(others.by_reporter, settings.reporter_share)))
        levels.insert(0, below)
    prior = prior_of(levels, own, settings, now_ms)
    spending = _spending(known, settings.min_samples)
    return score(known.arm, own, settings, now_ms, prior=prior, spending=spending)


def _spending(known: _Known, enough: float) -> Spending:
    """Take what calls cost and took from as many levels as it needs to know of enough calls."""
    found = Spending()
    for level in (known.own, *known.others):
        if found.priced >= max(enough, 1):
            break
        found.merge(level.spending)
    return found


def scores_going_on(
    goal: str,
    pinned: GoalScores | None,
    sums: Sequence[ArmSums],
    namespace: str,
    settings: LearningSettings,
    *,
    since_ms: int,
    now_ms: int,
) -> GoalScores:
    """Score a goal's arms as a version has them, with the evidence of calls since a time.

    Args:
        goal: Its name.
        pinned: What the version says of it; None: nothing.
        sums: Evidence of calls since then.
        namespace: Whose version it is; all of its workloads go on from it together.
        settings: Of the goal.
        since_ms: When the version was put in force again.
        now_ms: In milliseconds since 1970.
    """
    known = _by_arm(sums, Place(namespace), frozenset())
    before = {one.arm.key: one for one in (pinned.arms if pinned else ())}
    arms = []
    for key in sorted(known.keys() | before.keys()):
        old = before.get(key) or ArmScore(known[key].arm)
        level = known[key].own if key in known else Level()
        arms.append(_going_on(old, level, settings, since_ms, now_ms))
    return GoalScores(goal, tuple(arms), settings)


def _going_on(
    old: ArmScore, since: Level, settings: LearningSettings, since_ms: int, now_ms: int
) -> ArmScore:
    series = _begun(limited(since.by_reporter, settings.reporter_share), since_ms)
    new = score(old.arm, series, settings, now_ms, prior=old.posterior, spending=since.spending)
    is_unheard = not len(series) and since_ms <= now_ms - settings.staleness_ms
    posterior = new.posterior
    if is_unheard:
        posterior = posterior.at_most(max(settings.min_samples, IGNORANCE.weight))
    return replace(
        new,
        posterior=posterior,
        samples=old.samples + new.samples,
        cost_usd=old.cost_usd if new.cost_usd is None else new.cost_usd,
        latency_ms=old.latency_ms if new.latency_ms is None else new.latency_ms,
        is_stale=new.is_stale or is_unheard or (old.is_stale and not len(series)),
        shift=new.shift or old.shift,
    )


def _begun(series: Series, since_ms: int) -> Series:
    """Leave out buckets that began before: what was gone back from may be in them."""
    return Series(each for each in series.buckets() if each[0].start_ms >= since_ms)
