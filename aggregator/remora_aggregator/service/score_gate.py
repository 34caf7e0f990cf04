"""Has the gate judge the scores of a namespace, on the calls that its routers decided."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial

from remora.learning.scores import GoalScores
from remora.learning.versions import RouterVersion
from remora_aggregator.service.score_making import ScoreMaking
from remora_aggregator.signals.ports import Judged, LogSelection, ScoreStore, VersionBook
from remora_aggregator.signals.refit import (
    MOST_CALLS,
    LoggedAt,
    Unseen,
    cut_of,
    judged,
    logged,
    unseen,
)
from remora_aggregator.signals.scoring import Place
from remora_aggregator.signals.versioning import FIRST, in_force


class ScoreGate:
    """Judges by one store."""

    def __init__(self, store: ScoreStore, making: ScoreMaking) -> None:
        """Take the store, and who makes scores."""
        self._store = store
        self._making = making

    async def judged(
        self, namespace: str, book: VersionBook, goals: Mapping[str, GoalScores]
    ) -> Judged:
        """Judge new scores against the version in force, on calls since that was made.

        Raises:
            Unavailable: The store can't be read.
        """
        old = in_force(book)
        if old is None:
            return FIRST
        since_ms = max(old.made_ms, book.since_ms if book.goes_back else 0)
        log = await self._log(namespace, since_ms)
        new = Unseen(old, old)
        if log:
            new = await self._unseen(namespace, book, since_ms, cut_of(log), goals)
        return await asyncio.to_thread(judged, log, old, new)

    async def _log(self, namespace: str, since_ms: int) -> Sequence[LoggedAt]:
        found: deque[LoggedAt] = deque(maxlen=MOST_CALLS)
        selection = LogSelection(frozenset({namespace}), since_ms=since_ms)
        async for page in self._store.log(selection):
            found.extend(one for trial in page if (one := logged(trial)) is not None)
        return sorted(found, key=lambda one: one.at_ms)

    async def _unseen(
        self,
        namespace: str,
        book: VersionBook,
        since_ms: int,
        cut_ms: int,
        goals: Mapping[str, GoalScores],
    ) -> Unseen:
        """Make the scores that know nothing of one half of the log, or of the other."""
        sources = self._making.sources(Place(namespace), book)
        own, now_ms = frozenset({namespace}), self._making.now_ms
        early, late = {}, {}
        for name, scores in goals.items():
            work = partial(
                unseen,
                await self._store.sums(name, sources.namespaces, since_ms=sources.since_ms),
                await self._store.sums(name, own, since_ms=since_ms),
                await self._store.sums(name, own, since_ms=cut_ms),
                sources.scorer(name, scores.settings, now_ms),
            )
            early[name], late[name] = await asyncio.to_thread(work)
        return Unseen(RouterVersion(0, now_ms, early), RouterVersion(0, now_ms, late))
