"""Makes router versions, has the gate judge them, and puts them in force."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from remora.errors import BadRequest, Unavailable
from remora.learning.scores import GoalScores
from remora.learning.versions import Difference, RouterVersion, differences
from remora_aggregator.service.score_gate import ScoreGate
from remora_aggregator.service.score_making import ScoreMaking, Wanted
from remora_aggregator.signals import versioning
from remora_aggregator.signals.ports import Judged, ScoreStore, VersionBook
from remora_aggregator.signals.scoring import Place

_TRIES = 5
"""So often a version is judged anew where another was put in force meanwhile."""

type Unless = Callable[[VersionBook], bool]
"""Tells of a namespace's versions that there is nothing to do any more."""


class ScoreVersions:
    """The router versions of one store."""

    def __init__(self, store: ScoreStore, making: ScoreMaking) -> None:
        """Take the store, and who makes scores."""
        self._store = store
        self._making = making
        self._gate = ScoreGate(store, making)

    async def propose(
        self,
        namespace: str,
        *,
        note: str = "",
        activate: bool = False,
        unless: Unless = lambda _: False,
    ) -> tuple[VersionBook, int]:
        """Make a version of the scores as they are now, and have the gate judge it.

        Args:
            namespace: Whose.
            note: Why.
            activate: Put it in force if it is accepted.
            unless: Where it says so nothing is made.

        Returns:
            The versions, and the number of the one that was made; 0: none was.

        Raises:
            BadRequest: Nothing is known of any goal (status 409).
            Unavailable: The store can't be used, or others put versions in force all the time.
        """
        for _ in range(_TRIES):
            before = await self._store.versions(namespace)
            if unless(before):
                return before, 0
            goals = await self.snapshot(namespace, before)
            if not goals:
                text = f"nothing is known of any goal in namespace {namespace!r}"
                raise BadRequest(text, status=409, code="no_goals")
            said = await self._gate.judged(namespace, before, goals)
            made: list[int] = []
            decide = partial(
                _decided, made, before.history.in_force, goals, said,
                note=note, activate=activate, unless=unless,
            )  # fmt: skip
            book = await self._changed(namespace, decide)
            if made or unless(book):
                return book, made[-1] if made else 0
        raise Unavailable("versions are put in force all the time: ask again later")

    async def activate(self, namespace: str, number: int) -> VersionBook:
        """Put a version in force; raises BadRequest (404) where there is none of that number."""
        return await self._changed(
            namespace, lambda book, now_ms: versioning.activated(book, number, now_ms)
        )

    async def roll_back(self, namespace: str) -> VersionBook:
        """Put back what was in force before; raises BadRequest (409) where nothing was."""
        return await self._changed(namespace, versioning.rolled_back)

    async def book(self, namespace: str) -> VersionBook:
        """Read a namespace's versions."""
        return await self._store.versions(namespace)

    async def differences(self, namespace: str, old: int, new: int) -> list[Difference]:
        """List what is otherwise in a version than in another.

        Args:
            namespace: Whose.
            old: Number; 0: the one in force, of which there may be none.
            new: Number; 0: scores as they are now.

        Raises:
            BadRequest: There is none of that number (status 404).
        """
        book = await self._store.versions(namespace)
        first = versioning.version_of(book, old) if old else versioning.in_force(book)
        if new:
            second = versioning.version_of(book, new)
        else:
            second = RouterVersion(0, self._making.now_ms, await self.snapshot(namespace, book))
        first = first or RouterVersion(0, 0, {})
        return await asyncio.to_thread(differences, first, second)

    async def snapshot(self, namespace: str, book: VersionBook) -> dict[str, GoalScores]:
        """Give the scores of all goals of a namespace as they are now.

        Args:
            namespace: Whose.
            book: Its versions.
        """
        known = await self._store.goals(frozenset({namespace}))
        names = sorted(goal.key.goal for goal in known if goal.key.goal)
        place = Place(namespace)
        made = [await self._making.fresh(Wanted(place, name), book) for name in names]
        return {one.scores.goal: one.scores for one in made if one.scores.arms}

    async def _changed(
        self, namespace: str, decide: Callable[[VersionBook, int], VersionBook]
    ) -> VersionBook:
        book = await self._store.change_versions(namespace, decide)
        self._making.feed.renew(namespace)
        return book


def _decided(
    made: list[int],
    judged_against: int | None,
    goals: Mapping[str, GoalScores],
    said: Judged,
    book: VersionBook,
    now_ms: int,
    *,
    note: str,
    activate: bool,
    unless: Unless,
) -> VersionBook:
    """Add the version that was judged, unless what it was judged against is in force no more."""
    made.clear()
    if unless(book) or book.history.in_force != judged_against:
        return book
    book = versioning.proposed(book, goals, said, now_ms, note=note, activate=activate)
    made.append(book.history.versions[-1].number)
    return book
