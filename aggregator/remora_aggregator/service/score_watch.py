"""One watch of scores: what it wants, and what it is sent."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from remora.errors import BadRequest
from remora.learning.settings import LearningSettings
from remora.score_wire import settings_of
from remora_aggregator.service.score_feed import GoalWatch
from remora_aggregator.service.score_making import MadeScores, ScoreMaking, Wanted
from remora_aggregator.signals.names import goal_of, id_of
from remora_aggregator.signals.ports import ScoreStore
from remora_aggregator.signals.scoring import Place
from remora_proto.v1 import scores_pb2 as pb

MOST_GOALS = 1_000
"""So many a watch may name, and so many others of its namespace it is sent: those with the newest
calls."""

_MAX_WORKLOAD_CHARS = 253


@dataclass(frozen=True, slots=True)
class _How:
    settings: LearningSettings | None = None
    gated: bool = False


@dataclass(frozen=True, slots=True)
class WantedGoals:
    """What a watch wants.

    Attributes:
        named: How each goal is wanted that is named.
        others: How all others of the namespace are; None: they are not.
    """

    place: Place
    named: Mapping[str, _How] = field(default_factory=dict)
    others: _How | None = None

    def wanted(self, goal: str) -> Wanted | None:
        """Say which scores of a goal are wanted; None: none."""
        how = self.named.get(goal, self.others if goal else None)
        return None if how is None else Wanted(self.place, goal, how.settings, how.gated)


def wanted_goals(request: pb.WatchScoresRequest, namespace: str) -> WantedGoals:
    """Read what somebody wants to watch.

    Raises:
        BadRequest: It names too many goals, one that is none, or settings out of range.
    """
    if len(request.wanted) > MOST_GOALS:
        raise BadRequest(f"a watch names at most {MOST_GOALS} goals, not {len(request.wanted)}")
    place = Place(namespace, id_of(request.workload, "workload", _MAX_WORKLOAD_CHARS))
    named = {goal_of(one.goal): _how(one) for one in request.wanted}
    others = named.pop("", None)
    return WantedGoals(place, named, others)


def _how(wanted: pb.WatchScoresRequest.Wanted) -> _How:
    if not wanted.HasField("settings"):
        return _How(None, wanted.gated)
    try:
        return _How(settings_of(wanted.settings), wanted.gated)
    except ValueError as error:
        raise BadRequest(f"settings of goal {wanted.goal!r}: {error}") from None


class Watching:
    """Sends scores to one who watches, at the pace at which it reads."""

    def __init__(
        self, store: ScoreStore, making: ScoreMaking, wanted: WantedGoals, beat_s: float
    ) -> None:
        """Take what is wanted, and how often something is said."""
        self._store = store
        self._making = making
        self._wanted = wanted
        self._beat_s = beat_s
        self._sent: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._said_s = 0.0

    async def messages(self) -> AsyncGenerator[pb.WatchScoresResponse]:
        """Give all scores, then `ready`, then what changed, and now and then a beat."""
        wanted, beat = self._wanted, pb.WatchScoresResponse(ready=True, beat_s=self._beat_s)
        feed, namespace = self._making.feed, wanted.place.namespace
        with feed.watched(namespace, wanted.named, others=wanted.others is not None) as watch:
            async for message in self._all():
                yield message
            all_s = self._said_s = _now_s()
            yield beat
            while True:
                goals, everything = await self._next(watch)
                if everything or _now_s() - all_s >= self._making.refresh_s:
                    goals, all_s = await self._names(), _now_s()
                async for message in self._changed(goals):
                    self._said_s = _now_s()
                    yield message
                if _now_s() - self._said_s >= self._beat_s:
                    self._said_s = _now_s()
                    yield beat

    async def _next(self, watch: GoalWatch) -> tuple[Collection[str], bool]:
        """Wait until something changed, or a beat is due."""
        left_s = self._said_s + self._beat_s - _now_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(left_s, 0.0)):
                await watch.woken.wait()
        return watch.taken()

    async def _all(self) -> AsyncIterator[pb.WatchScoresResponse]:
        async for message in self._changed(await self._names()):
            yield message

    async def _names(self) -> Collection[str]:
        """Name all goals that are wanted: the named ones, then those with the newest calls."""
        named, place = self._wanted.named, self._wanted.place
        if self._wanted.others is None:
            return list(named)
        known = await self._store.goals(frozenset({place.namespace}))
        others = [one for one in known if one.key.goal and one.key.goal not in named]
        others.sort(key=lambda one: (-one.last_ms, one.key.goal))
        return [*named, *(one.key.goal for one in others[:MOST_GOALS])]

    async def _changed(self, goals: Iterable[str]) -> AsyncIterator[pb.WatchScoresResponse]:
        """Give the scores of those goals that are others than were sent last."""
        for goal in goals:
            wanted = self._wanted.wanted(goal)
            if wanted is None:
                continue
            made = await self._making.scores(wanted)
            if self._sent.get(goal) != (made.digest, made.version):
                self._note(goal, made)
                yield pb.WatchScoresResponse(scores=made.message)

    def _note(self, goal: str, made: MadeScores) -> None:
        self._sent[goal] = made.digest, made.version
        self._sent.move_to_end(goal)
        if len(self._sent) > 2 * MOST_GOALS:
            self._sent.popitem(last=False)  # sent again should it change again


def _now_s() -> float:
    return asyncio.get_running_loop().time()
