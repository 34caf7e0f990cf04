"""Makes scores out of what the store knows, once for all who want the same.

Scores change with what is known, and with time: evidence fades, arms grow stale. So they are made
again when a goal changed, at most once in a second, and after a minute in any case.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from remora.clock import Clock
from remora.learning.scores import GoalScores
from remora.learning.settings import LearningSettings
from remora.score_wire import goal_scores_message
from remora_aggregator.service.score_feed import ScoreFeed, Token
from remora_aggregator.signals.names import ALL_GOALS
from remora_aggregator.signals.ports import ArmSums, GoalKey, ScoreStore, VersionBook
from remora_aggregator.signals.scoring import Place, digest_of, goal_scores, scores_going_on
from remora_aggregator.signals.versioning import in_force, pinned
from remora_proto.v1 import scores_pb2 as pb

GAP_S = 1.0
REFRESH_S = 60.0
MOST_KEPT = 4_096

_TIMES = 2
"""What takes long to make is left alone for so many times as long."""

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which scores are wanted.

    Attributes:
        settings: None: those that are stored.
        gated: Only what the version in force says.
    """

    place: Place
    goal: str
    settings: LearningSettings | None = None
    gated: bool = False


@dataclass(frozen=True, slots=True)
class MadeScores:
    """Scores as they were made.

    Attributes:
        version: The router version that they are or go on from; 0: none.
        message: All of it, as it is sent to everybody.
    """

    scores: GoalScores
    digest: str
    version: int
    message: pb.GoalScores


@dataclass(slots=True)
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: Token | None = None
    made_s: float = 0.0
    gap_s: float = 0.0
    made: MadeScores | None = None


@dataclass(slots=True)
class _Reading:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sums: Sequence[ArmSums] | None = None


class ScoreMaking:
    """Makes the scores of one store.

    Attributes:
        feed: Says what changed; has to run.
        made: How many goals were scored.
    """

    def __init__(
        self,
        store: ScoreStore,
        feed: ScoreFeed,
        clock: Clock,
        *,
        gap_s: float = GAP_S,
        refresh_s: float = REFRESH_S,
    ) -> None:
        """Take the store and who follows it.

        Args:
            store: Of sums, settings and versions.
            feed: Says what changed.
            clock: The time by which scores are made.
            gap_s: Between two times that the same scores are made.
            refresh_s: After so long they are made again, if nothing changed, too.
        """
        self.feed = feed
        self.refresh_s = refresh_s
        self.made = 0
        self._store = store
        self._clock = clock
        self._gap_s = gap_s
        self._kept: OrderedDict[Wanted, _Kept] = OrderedDict()
        self._books: dict[str, tuple[int, float, VersionBook]] = {}
        self._readings: dict[tuple[object, ...], _Reading] = {}
        self._one = asyncio.Semaphore(1)

    @property
    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""
        return self._clock.now_unix_ns() // _NS_PER_MS

    async def scores(self, wanted: Wanted, *, at_once: bool = False) -> MadeScores:
        """Give scores as they are now.

        Args:
            wanted: Which.
            at_once: What is a second old will do, or what is just made anew; else it is waited
                until they may be made again.

        Raises:
            Unavailable: The store can't be read.
        """
        kept = self._entry(wanted)
        is_soon = _now_s() - kept.made_s < kept.gap_s or kept.lock.locked()
        if at_once and kept.made is not None and is_soon:
            return kept.made
        async with kept.lock:
            if kept.made is not None:
                age_s = _now_s() - kept.made_s
                is_same = kept.token == self.feed.token(wanted.place.namespace, wanted.goal)
                if is_same and age_s < self.refresh_s:
                    return kept.made
                await asyncio.sleep(max(kept.gap_s - age_s, 0.0))
            began_s = _now_s()
            token = self.feed.token(wanted.place.namespace, wanted.goal)
            book = await self.book(wanted.place.namespace)
            kept.made = await self._make(wanted, book, token)
            kept.token, kept.made_s = token, _now_s()
            kept.gap_s = max(self._gap_s, _TIMES * (kept.made_s - began_s))
            return kept.made

    async def fresh(self, wanted: Wanted, book: VersionBook) -> MadeScores:
        """Make scores of what is known at this moment, for this once.

        Args:
            wanted: Which.
            book: The namespace's versions.

        Raises:
            Unavailable: The store can't be read.
        """
        return await self._make(wanted, book, None)

    def _entry(self, wanted: Wanted) -> _Kept:
        kept = self._kept.setdefault(wanted, _Kept())
        self._kept.move_to_end(wanted)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _make(self, wanted: Wanted, book: VersionBook, token: Token | None) -> MadeScores:
        namespace, goal = wanted.place.namespace, wanted.goal
        settings = wanted.settings or await self.settings(GoalKey(namespace, goal))
        version = in_force(book)
        if wanted.gated:
            known = pinned(book, goal)
            made_ms = 0 if version is None else version.made_ms
            arms = () if known is None else known.arms
            return _made(
                GoalScores(goal, arms, settings), version.number if version else 0, made_ms
            )
        now_ms = self.now_ms
        scores = await self._live(wanted, settings, book, token, now_ms)
        return _made(scores, version.number if version else 0, now_ms)

    async def _live(
        self,
        wanted: Wanted,
        settings: LearningSettings,
        book: VersionBook,
        token: Token | None,
        now_ms: int,
    ) -> GoalScores:
        sources = self.sources(wanted.place, book)
        sums = await self._read(wanted.goal, sources, token)
        work = sources.scorer(wanted.goal, settings, now_ms)
        async with self._one:  # one thread at a time: Python runs no two at once
            self.made += 1
            return await asyncio.to_thread(work, sums)

    def sources(self, place: Place, book: VersionBook) -> "Sources":
        """Say what live scores stand on."""
        own = frozenset({place.namespace})
        if book.goes_back:
            return Sources(place, own, book)
        sharing = self.feed.sharing
        return Sources(place, sharing if place.namespace in sharing else own, None)

    async def settings(self, key: GoalKey) -> LearningSettings:
        """Give the settings that are stored for a goal, else those of all goals, else defaults."""
        own = await self._store.settings(key)
        if own is None and key.goal != ALL_GOALS:
            own = await self._store.settings(GoalKey(key.namespace, ALL_GOALS))
        return own or LearningSettings()

    async def book(self, namespace: str) -> VersionBook:
        """Give a namespace's versions; raises Unavailable."""
        epoch = self.feed.epoch(namespace)
        known = self._books.get(namespace)
        if known is not None and known[0] == epoch and _now_s() - known[1] < self.refresh_s:
            return known[2]
        book = await self._store.versions(namespace)
        self._books[namespace] = epoch, _now_s(), book
        return book

    async def _read(self, goal: str, sources: "Sources", token: Token | None) -> Sequence[ArmSums]:
        """Read what is known of a goal, by a token once for all workloads that wait for it."""
        namespaces, since_ms = sources.namespaces, sources.since_ms
        if token is None:
            return await self._store.sums(goal, namespaces, since_ms=since_ms)
        key = goal, namespaces, token, since_ms
        reading = self._readings.setdefault(key, _Reading())
        async with reading.lock:
            if reading.sums is None:
                later = asyncio.get_running_loop().call_later
                later(self._gap_s, self._readings.pop, key, None)
                reading.sums = await self._store.sums(goal, namespaces, since_ms=since_ms)
            return reading.sums


@dataclass(frozen=True, slots=True)
class Sources:
    """What live scores stand on.

    Attributes:
        place: Whose scores.
        namespaces: Whose evidence.
        back: The versions, if the one in force was gone back to: only evidence since counts.
    """

    place: Place
    namespaces: frozenset[str]
    back: VersionBook | None

    @property
    def since_ms(self) -> int:
        """Since when evidence counts; 0: all of it."""
        return 0 if self.back is None else self.back.since_ms

    def scorer(
        self, goal: str, settings: LearningSettings, now_ms: int
    ) -> Callable[[Sequence[ArmSums]], GoalScores]:
        """Give what makes scores of sums."""
        if self.back is None:
            return partial(
                goal_scores, goal, place=self.place, settings=settings, now_ms=now_ms,
                sharing=self.namespaces,
            )  # fmt: skip
        return partial(
            scores_going_on, goal, pinned(self.back, goal), namespace=self.place.namespace,
            settings=settings, since_ms=self.since_ms, now_ms=now_ms,
        )  # fmt: skip


def _made(scores: GoalScores, version: int, made_ms: int) -> MadeScores:
    digest = digest_of(scores)
    message = goal_scores_message(
        scores, digest=digest, made_unix_ns=made_ms * _NS_PER_MS, version=version
    )
    return MadeScores(scores, digest, version, message)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
