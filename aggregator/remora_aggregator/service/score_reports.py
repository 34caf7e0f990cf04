"""What is told of scores: how goals do, over time and by version, and what models do.

For whoever serves it, over gRPC or HTTP: the caller says whose namespace is asked about, and has
looked whether that may be.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from remora.errors import BadRequest
from remora.learning.insights import Insight
from remora.learning.settings import LearningSettings
from remora_aggregator.service.score_benchmarks import benchmark_question, benchmarks_answer
from remora_aggregator.service.score_making import MadeScores, ScoreMaking, Wanted
from remora_aggregator.service.score_versions import ScoreVersions
from remora_aggregator.service.score_wire import (
    NS_PER_MS,
    diff_answer,
    goal_report,
    logged_call,
    timeline_answer,
    version_message,
)
from remora_aggregator.signals.names import goal_of
from remora_aggregator.signals.ports import GoalKey, KnownGoal, LogSelection, ScoreStore
from remora_aggregator.signals.reports import (
    DEFAULT_WINDOW_MS,
    GoalInWindow,
    going_back,
    in_window,
)
from remora_aggregator.signals.scoring import Place
from remora_aggregator.signals.timeline import DEFAULT_POINTS, MOST_POINTS, timeline
from remora_aggregator.signals.versioning import version_of
from remora_aggregator.store.record_store import RecordStore
from remora_proto.v1 import scores_pb2 as pb

MOST_GOALS = 200
"""So many goals are told of at once: those whose last calls are the newest."""


class ScoreReports:
    """Reports of one store."""

    def __init__(
        self, store: ScoreStore, records: RecordStore, making: ScoreMaking, versions: ScoreVersions
    ) -> None:
        """Take the stores.

        Args:
            store: Of scores.
            records: Of calls, for benchmarks.
            making: Makes scores.
            versions: The router versions.
        """
        self._store = store
        self._records = records
        self._making = making
        self._versions = versions

    async def live(
        self,
        namespace: str,
        goal: str,
        *,
        workload: str = "",
        settings: LearningSettings | None = None,
        gated: bool = False,
    ) -> MadeScores:
        """Give a goal's scores as decisions go by them, at most a second old.

        Args:
            namespace: Whose.
            goal: Its name; of one that nobody knows there are no arms.
            workload: As this one's sidecars have them; empty: the namespace's.
            settings: None: those that are stored.
            gated: Only what the version in force says.

        Raises:
            Unavailable: The store can't be read.
        """
        wanted = Wanted(Place(namespace, workload), goal, settings, gated)
        return await self._making.scores(wanted, at_once=True)

    async def known_goals(self, namespace: str) -> Sequence[KnownGoal]:
        """List the goals of a namespace, those with the newest calls first."""
        known = await self._store.goals(frozenset({namespace}))
        named = [one for one in known if one.key.goal]
        return sorted(named, key=lambda one: (-one.last_ms, one.key.goal))

    async def scores(
        self, namespace: str, goal: str = "", *, workload: str = "", window_s: int = 0
    ) -> pb.ScoresResponse:
        """Say how goals do.

        Args:
            namespace: Whose.
            goal: Its name; empty: all, those with the newest calls first.
            workload: Only of this workload's calls; empty: of all.
            window_s: Of what rates, failures and insights are; 0: 7 days.

        Raises:
            BadRequest: The goal is no name.
            Unavailable: The store can't be read.
        """
        found = await self.in_window(namespace, goal, workload=workload, window_s=window_s)
        return pb.ScoresResponse(goals=map(goal_report, found))

    async def insights(self, namespace: str, goal: str = "", *, window_s: int = 0) -> list[Insight]:
        """List what is to be known of goals; arguments and errors are those of `scores`."""
        found = await self.in_window(namespace, goal, window_s=window_s)
        return [insight for one in found for insight in one.report.insights]

    async def in_window(
        self,
        namespace: str,
        goal: str = "",
        *,
        workload: str = "",
        window_s: int = 0,
        settings_goal: Callable[[str], str] = str,
    ) -> list[GoalInWindow]:
        """Say how goals do, as values; the other arguments and errors are those of `scores`.

        Args:
            namespace: Whose.
            goal: Its name; empty: all.
            workload: Only of this workload's calls; empty: of all.
            window_s: Of what rates, failures and insights are; 0: 7 days.
            settings_goal: Gives, for a goal, the one whose settings hold for it.
        """
        wanted = goal_of(goal)
        known = [one for one in await self.known_goals(namespace) if wanted in ("", one.key.goal)]
        if wanted and not known:
            known = [KnownGoal(GoalKey(namespace, wanted), 0, 0)]
        window_ms = window_s * 1_000 or DEFAULT_WINDOW_MS
        place = Place(namespace, workload)
        found = []
        for one in known[:MOST_GOALS]:
            key = GoalKey(namespace, settings_goal(one.key.goal))
            settings = await self._making.settings(key)
            found.append(await self._in_window(one, place, window_ms, settings))
        return found

    async def _in_window(
        self, known: KnownGoal, place: Place, window_ms: int, settings: LearningSettings
    ) -> GoalInWindow:
        goal = known.key.goal
        since_ms = max(self._making.now_ms - window_ms, 0)
        book = await self._making.book(place.namespace)
        made = await self._making.fresh(Wanted(place, goal, settings), book)
        own = frozenset({place.namespace})
        sums = await self._store.sums(goal, own, since_ms=since_ms)
        failures = await self._store.failures(known.key, since_ms)
        advice = None
        if book.history.steps and not book.goes_back:
            everything = await self._store.sums(goal, own)
            advice = going_back(goal, everything, place.namespace, settings, book)
        work = partial(
            in_window, made.scores, sums, place, failures, book,
            since_ms=since_ms, last_ms=known.last_ms, advice=advice,
        )  # fmt: skip
        return await asyncio.to_thread(work)

    async def timeline(
        self,
        namespace: str,
        goal: str,
        *,
        since_unix_ns: int = 0,
        until_unix_ns: int = 0,
        points: int = 0,
    ) -> pb.TimelineResponse:
        """Say how a goal's arms did over time.

        Args:
            namespace: Whose.
            goal: Its name.
            since_unix_ns: 0: 7 days ago.
            until_unix_ns: 0: now.
            points: Pieces of time, at most 1,000; 0: 60.

        Raises:
            BadRequest: No goal is named, or the end does not lie behind the beginning.
            Unavailable: The store can't be read.
        """
        if not goal_of(goal):
            raise BadRequest("say which goal is meant")
        since_ms, until_ms = self._span_ms(since_unix_ns, until_unix_ns)
        settings = await self._making.settings(GoalKey(namespace, goal))
        sums = await self._store.sums(goal, frozenset({namespace}), since_ms=since_ms)
        work = partial(
            timeline, sums, namespace, settings, since_ms=since_ms, until_ms=until_ms,
            now_ms=self._making.now_ms, points=min(points or DEFAULT_POINTS, MOST_POINTS),
        )  # fmt: skip
        return await asyncio.to_thread(lambda: timeline_answer(work()))

    async def benchmarks(
        self,
        namespaces: frozenset[str] | None,
        *,
        since_unix_ns: int = 0,
        until_unix_ns: int = 0,
        goal: str = "",
        only_pod_uid: str = "",
    ) -> pb.BenchmarksResponse:
        """Say what models were measured to do, those with the most calls first.

        Answers that came out of a cache are left out: no model gave them.

        Args:
            namespaces: Whose calls; None: everybody's.
            since_unix_ns: 0: 7 days ago.
            until_unix_ns: 0: now.
            goal: Only calls for this one; empty: all.
            only_pod_uid: Only this pod's calls are counted; what is known of their answers is
                everybody's.

        Raises:
            BadRequest: The goal is no name, or the end does not lie behind the beginning.
            Unavailable: The store can't be read.
        """
        span_ms = self._span_ms(since_unix_ns, until_unix_ns)
        question = benchmark_question(namespaces, span_ms, goal_of(goal), only_pod_uid)
        groups = await self._records.usage(question)
        evidence = await self._store.evidence(namespaces, goal, *span_ms)
        return benchmarks_answer(groups, evidence)

    def _span_ms(self, since_unix_ns: int, until_unix_ns: int) -> tuple[int, int]:
        now_ms = self._making.now_ms
        until_ms = until_unix_ns // NS_PER_MS or now_ms + 1
        since_ms = since_unix_ns // NS_PER_MS or max(until_ms - DEFAULT_WINDOW_MS, 1)
        if since_ms >= until_ms:
            raise BadRequest("`since` must lie before `until`")
        return since_ms, until_ms

    async def log(
        self, selected: LogSelection, *, limit: int = 0
    ) -> AsyncIterator[Sequence[pb.LoggedCall]]:
        """Give the decisions of a known chance that were judged, the oldest first, in pages."""
        async for page in self._store.log(selected, limit=limit):
            yield [call for trial in page if (call := logged_call(trial)) is not None]

    async def versions(self, namespace: str, number: int = 0) -> pb.VersionsResponse:
        """List router versions, the newest first; or give one with its scores.

        Raises:
            BadRequest: There is none of that number (status 404).
            Unavailable: The store can't be read.
        """
        book = await self._versions.book(namespace)
        if number:
            wanted = [version_of(book, number)]
        else:
            wanted = sorted(book.history.versions, key=lambda one: -one.number)
        shown = [version_message(book, one, with_goals=bool(number)) for one in wanted]
        return pb.VersionsResponse(versions=shown)

    async def diff(
        self, namespace: str, old_number: int = 0, new_number: int = 0
    ) -> pb.DiffVersionsResponse:
        """List what is otherwise in a version than in another.

        Args:
            namespace: Whose.
            old_number: 0: the one in force.
            new_number: 0: scores as they are now.

        Raises:
            BadRequest: There is none of that number (status 404).
            Unavailable: The store can't be read.
        """
        return diff_answer(await self._versions.differences(namespace, old_number, new_number))
