"""What the handlers of Kalibr's paths find: tables, stores of signals and scores, chance."""

import random
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from remora.clock import Clock
from remora.learning.scores import GoalScores
from remora.learning.settings import LearningSettings
from remora_aggregator.learning import Learning
from remora_aggregator.service.score_making import Wanted
from remora_aggregator.signals.kalibr_models import goal_of_pool
from remora_aggregator.signals.ports import GoalKey, ScoreStore, SignalStore
from remora_aggregator.signals.reports import GoalInWindow
from remora_aggregator.signals.scoring import Place
from remora_aggregator.store.kalibr_paths import KalibrPaths
from remora_aggregator.store.kalibr_runs import KalibrRuns
from remora_aggregator.store.kalibr_spans import KalibrSpans

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """What all handlers share.

    Attributes:
        learned: Makes scores, and tells them.
        chance: Where decisions' randomness comes from.
        signature_key: What spans have to be signed with; empty: nobody looks.
    """

    paths: KalibrPaths
    runs: KalibrRuns
    spans: KalibrSpans
    signals: SignalStore
    scores: ScoreStore
    learned: Learning
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
        return await self.learned.making.settings(GoalKey(namespace, goal))

    async def live_scores(self, namespace: str, goal: str, pool: str) -> GoalScores:
        """Score a goal by all that is committed: what was just said counts for the next decision.

        Args:
            namespace: Whose scores.
            goal: Whose settings.
            pool: The goal that evidence is counted for; of a pipeline it is another one.
        """
        wanted = Wanted(Place(namespace), pool, await self.settings(namespace, goal))
        book = await self.scores.versions(namespace)
        return (await self.learned.making.fresh(wanted, book)).scores

    async def in_window(
        self, namespace: str, goal: str = "", *, window_s: int
    ) -> list[GoalInWindow]:
        """Say how goals did for some time, those with the newest calls first.

        Args:
            namespace: Whose.
            goal: Its name; empty: all, but for so many.
            window_s: How far to look back.
        """
        return await self.learned.reports.in_window(
            namespace, goal, window_s=max(window_s, 1), settings_goal=goal_of_pool
        )


ROOM: web.AppKey[Room] = web.AppKey("kalibr", Room)


def room_of(request: web.Request) -> Room:
    """Return what stands behind a request."""
    return request.app[ROOM]
