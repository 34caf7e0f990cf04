"""What the handlers of Kalibr's paths find: tables, stores of signals and scores, chance."""

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from remora.clock import Clock
from remora.learning.scores import GoalScores
from remora.learning.settings import LearningSettings
from remora_aggregator.signals.ports import GoalKey, KnownGoal, ScoreStore, SignalStore
from remora_aggregator.signals.reports import GoalInWindow, in_window
from remora_aggregator.signals.scoring import Place, goal_scores, scores_going_on
from remora_aggregator.signals.versioning import pinned
from remora_aggregator.store.kalibr_paths import KalibrPaths
from remora_aggregator.store.kalibr_runs import KalibrRuns
from remora_aggregator.store.kalibr_spans import KalibrSpans

ALL_GOALS: Final = "*"
MOST_GOALS: Final = 100
"""So many are told of at once."""

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """What all handlers share.

    Attributes:
        chance: Where decisions' randomness comes from.
        signature_key: What spans have to be signed with; empty: nobody looks.
    """

    paths: KalibrPaths
    runs: KalibrRuns
    spans: KalibrSpans
    signals: SignalStore
    scores: ScoreStore
    clock: Clock
    chance: random.Random
    signature_key: bytes = b""

    @property
    def now_unix_ns(self) -> int:
        """The time."""
        return self.clock.now_unix_ns()

    @property
    def now_ms(self) -> int:
        """The time in milliseconds since 1970."""
        return self.now_unix_ns // _NS_PER_MS

    async def settings(self, namespace: str, goal: str) -> LearningSettings:
        """Give the settings of a goal, else those of all goals, else the defaults."""
        for name in dict.fromkeys((goal, ALL_GOALS)):
            found = await self.scores.settings(GoalKey(namespace, name))
            if found is not None:
                return found
        return LearningSettings()

    async def live_scores(self, namespace: str, goal: str, pool: str) -> GoalScores:
        """Score a goal by all that is committed: what was just said counts for the next decision.

        Args:
            namespace: Whose scores.
            goal: Whose settings.
            pool: The goal that evidence is counted for; of a pipeline it is another one.
        """
        settings = await self.settings(namespace, goal)
        book = await self.scores.versions(namespace)
        if book.goes_back:
            own = frozenset({namespace})
            sums = await self.scores.sums(pool, own, since_ms=book.since_ms)
            return await asyncio.to_thread(
                partial(
                    scores_going_on, pool, pinned(book, pool), sums, namespace, settings,
                    since_ms=book.since_ms, now_ms=self.now_ms,
                )
            )  # fmt: skip
        sharing = await self.scores.sharing()
        seen = sharing if namespace in sharing else frozenset({namespace})
        sums = await self.scores.sums(pool, seen)
        place = Place(namespace)
        return await asyncio.to_thread(
            partial(goal_scores, pool, sums, place, settings, self.now_ms, sharing=sharing)
        )

    async def in_window(
        self, namespace: str, goal: str = "", *, window_ms: int
    ) -> list[GoalInWindow]:
        """Say how goals did for some time, those with the newest calls first.

        Args:
            namespace: Whose.
            goal: Its name; empty: all, but for so many.
            window_ms: How far to look back.
        """
        found = await self.scores.goals(frozenset({namespace}))
        named = [one for one in found if one.key.goal and goal in ("", one.key.goal)]
        named.sort(key=lambda one: (-one.last_ms, one.key.goal))
        if goal and not named:
            named = [KnownGoal(GoalKey(namespace, goal), 0, 0)]
        since_ms = max(self.now_ms - window_ms, 0)
        return [await self._in_window(one, since_ms) for one in named[:MOST_GOALS]]

    async def _in_window(self, known: KnownGoal, since_ms: int) -> GoalInWindow:
        namespace, goal = known.key
        # Settings are those of the goal that a pipeline is one of.
        scores = await self.live_scores(namespace, goal.partition("#")[0], goal)
        sums = await self.scores.sums(goal, frozenset({namespace}), since_ms=since_ms)
        failures = await self.scores.failures(known.key, since_ms)
        book = await self.scores.versions(namespace)
        return in_window(
            scores, sums, Place(namespace), failures, book,
            since_ms=since_ms, last_ms=known.last_ms,
        )  # fmt: skip


ROOM: web.AppKey[Room] = web.AppKey("kalibr", Room)


def room_of(request: web.Request) -> Room:
    """Return what stands behind a request."""
    return request.app[ROOM]
