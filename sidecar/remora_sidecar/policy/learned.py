"""How ``policy: learned`` chooses: by scores of the call's goal, for exactly its candidates. Pure.

The tables that decisions are looked up in are made when a snapshot of scores comes or other
candidates can be taken, not for each call. A candidate that no snapshot knows may be
anything: without an aggregator all are as likely.
"""

import random
from collections.abc import Sequence
from operator import is_
from typing import Final, NamedTuple, Protocol

from remora.learning import Arm, ArmScore, Chooser, GoalScores, LearningSettings
from remora.learning.decision import Risk
from remora.policy.routing import Router
from remora_sidecar.policy.score_book import ScoreBook, ScoreSnapshot, settings_in

MAX_KEPT: Final = 256
"""Sets of candidates whose tables are kept."""


class Armed(Protocol):
    """A candidate as scores know it."""

    @property
    def key(self) -> str:
        """The name of its arm."""
        ...


class LearnedChoice(NamedTuple):
    """What was chosen, and what a receipt tells of it.

    Attributes:
        chosen: Position of the candidate.
        propensity: How likely it was.
        propensities: Of all candidates, in their order.
        means: The share of good answers that is expected of each.
        notes: One word for why each was not likelier; see `remora.learning.decision`.
        reason: ``exploitation``, ``thompson`` or ``exploration``.
        digest: Of the scores; empty: nothing was known.
    """

    chosen: int
    propensity: float
    propensities: tuple[float, ...]
    means: tuple[float, ...]
    notes: tuple[str, ...]
    reason: str
    digest: str


class _Kept(NamedTuple):
    """What decides for one set of candidates, as long as the snapshot is the same."""

    snapshot: ScoreSnapshot | None
    offers: Sequence[Armed]
    chooser: Chooser
    means: tuple[float, ...]


class Learned:
    """Chooses among candidates by what is known of them.

    Attributes:
        book: What is known.
        decisions: How many were made, by their reason.
    """

    def __init__(self, book: ScoreBook, chance: random.Random) -> None:
        """Take the scores, and where randomness comes from."""
        self.book = book
        self.decisions = {"exploitation": 0, "thompson": 0, "exploration": 0}
        self._chance = chance
        self._last: dict[tuple[str, str], _Kept] = {}
        self._kept: dict[tuple[str, str, tuple[str, ...]], _Kept] = {}

    def forget(self) -> None:
        """Make all tables anew: policy has changed."""
        self._last.clear()
        self._kept.clear()

    def choose(
        self, route: str, router: Router, offers: Sequence[Armed], goal: str, risk: Risk
    ) -> LearnedChoice:
        """Choose one of the candidates that a call may go to.

        Args:
            route: The route's name.
            router: What policy says.
            offers: The candidates; at least one.
            goal: What the call is for.
            risk: How much may be left to chance.
        """
        snapshot = self.book.get(goal)
        # Of goals that nothing is known of there may be as many as calls.
        place = (route, goal if snapshot is not None else "")
        kept = self._last.get(place)
        if kept is None or kept.snapshot is not snapshot or not _are_same(kept.offers, offers):
            kept = self._looked_up(place, router, offers, snapshot)
        found = kept.chooser.choose(self._chance, risk=risk)
        self.decisions[found.reason] += 1
        return LearnedChoice(
            found.arm,
            found.propensity,
            found.propensities,
            kept.means,
            found.notes,
            found.reason,
            snapshot.digest if snapshot is not None else "",
        )

    def _looked_up(
        self,
        place: tuple[str, str],
        router: Router,
        offers: Sequence[Armed],
        snapshot: ScoreSnapshot | None,
    ) -> _Kept:
        key = (*place, tuple([offer.key for offer in offers]))
        kept = self._kept.get(key)
        if kept is None or kept.snapshot is not snapshot:
            kept = _made(router, key[2], offers, snapshot)
            _keep(self._kept, key, kept)
        kept = kept._replace(offers=offers)
        _keep(self._last, place, kept)
        return kept


def _are_same(some: Sequence[Armed], others: Sequence[Armed]) -> bool:
    """Tell whether these are the very candidates: a policy's live as long as it is in force."""
    return some is others or (len(some) == len(others) and all(map(is_, some, others)))


def _keep[K](where: dict[K, _Kept], key: K, kept: _Kept) -> None:
    """Keep it, the oldest one no longer if there are too many."""
    if key not in where and len(where) >= MAX_KEPT:
        del where[next(iter(where))]
    where[key] = kept


def _made(
    router: Router, keys: Sequence[str], offers: Sequence[Armed], snapshot: ScoreSnapshot | None
) -> _Kept:
    known = snapshot.by_arm if snapshot is not None else {}
    arms = tuple([known.get(key) or ArmScore(Arm("", key)) for key in keys])
    settings = snapshot.scores.settings if snapshot is not None else LearningSettings()
    said = dict(settings_in(router))
    if said:
        settings = LearningSettings.from_mapping({**settings.as_mapping(), **said})
    goal = snapshot.scores.goal if snapshot is not None else ""
    means = tuple([arm.posterior.mean for arm in arms])
    return _Kept(snapshot, offers, Chooser(GoalScores(goal, arms, settings)), means)
