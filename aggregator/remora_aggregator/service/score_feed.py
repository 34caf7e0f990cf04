"""Follows what changes of goals, and wakes those who watch their scores.

One follower reads the store's changes for all watches. A watch holds no more than the names of the
goals that changed: who reads slowly misses what was in between and costs nobody's memory.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from remora.errors import Unavailable
from remora_aggregator.signals.names import ALL_GOALS
from remora_aggregator.signals.ports import GoalChanges, GoalKey, ScoreStore

_PAUSE_S = 0.05
"""Between two looks: what changes together is read together."""

_LOOK_S = 30.0
"""So often it is looked who shares, and for changes that nobody told of."""

_RETRY_S = 1.0

type Token = tuple[int, int, int]
"""Another one: what is known of a goal may be otherwise."""


class GoalWatch:
    """What changed since somebody looked.

    Attributes:
        woken: Set when something did.
    """

    def __init__(self, namespace: str, goals: frozenset[str], *, others: bool) -> None:
        """Watch some goals of a namespace.

        Args:
            namespace: Whose scores.
            goals: Which goals, wherever they change.
            others: Whether all others of the namespace, too.
        """
        self.namespace = namespace
        self.goals = goals
        self.others = others
        self.woken = asyncio.Event()
        self._changed: set[str] = set()
        self._everything = False

    def change(self, goal: str) -> None:
        """Take note of a change."""
        if self.others or goal in self.goals:
            self._changed.add(goal)
            self.woken.set()

    def change_all(self) -> None:
        """Take note that anything may have changed."""
        self._everything = True
        self.woken.set()

    def taken(self) -> tuple[frozenset[str], bool]:
        """Give the goals that changed, and whether any other may have; they are forgotten."""
        told = frozenset(self._changed), self._everything
        self._changed.clear()
        self._everything = False
        self.woken.clear()
        return told


class ScoreFeed:
    """Follows one store.

    Attributes:
        sharing: Namespaces that learn from each other, as far as is known.
    """

    def __init__(self, store: ScoreStore) -> None:
        """Follow nothing before `run`."""
        self.sharing: frozenset[str] = frozenset()
        self._store = store
        self._last = 0
        self._stamps: dict[str, dict[str, int]] = {}
        self._epochs: dict[str, int] = {}
        self._shared = 0
        self._watches: set[GoalWatch] = set()

    @property
    def watch_count(self) -> int:
        """How many watch."""
        return len(self._watches)

    @contextmanager
    def watched(
        self, namespace: str, goals: Collection[str], *, others: bool
    ) -> Iterator[GoalWatch]:
        """Watch goals as long as the block lasts; `GoalWatch` says which."""
        watch = GoalWatch(namespace, frozenset(goals), others=others)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def token(self, namespace: str, goal: str) -> Token:
        """Give what is otherwise once what a goal's scores stand on may be."""
        sources = self.sharing if namespace in self.sharing else (namespace,)
        newest = max((self._stamps.get(one, {}).get(goal, 0) for one in sources), default=0)
        return newest, self.epoch(namespace), self._shared

    def epoch(self, namespace: str) -> int:
        """Give what is otherwise once a namespace's versions or settings may be."""
        return self._epochs.get(namespace, 0)

    def renew(self, namespace: str) -> None:
        """Take note that a namespace's versions or settings changed."""
        self._epochs[namespace] = self._epochs.get(namespace, 0) + 1
        for watch in self._watches:
            if watch.namespace == namespace:
                watch.change_all()

    async def look_who_shares(self) -> None:
        """Read which namespaces learn from each other; raises Unavailable."""
        self._share(await self._store.sharing())

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        while True:
            changes = await self._store.changes(self._last)
            await self.look_who_shares()
            self._take(changes)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._store.changed(self._last)
            await asyncio.sleep(_PAUSE_S)

    def _take(self, changes: GoalChanges) -> None:
        self._last = max(self._last, changes.last)
        for namespace, goals in _by_namespace(changes.goals).items():
            known = self._stamps.setdefault(namespace, {})
            known.update(dict.fromkeys(goals, self._last))
            # A change of versions is one of all goals, and what is set of any is of all others.
            if ALL_GOALS in goals or goals >= known.keys():
                self.renew(namespace)
        for key in changes.goals:
            self._wake(key)

    def _wake(self, key: GoalKey) -> None:
        for watch in self._watches:
            if self._concerns(key, watch):
                watch.change(key.goal)

    def _concerns(self, key: GoalKey, watch: GoalWatch) -> bool:
        if watch.namespace == key.namespace:
            return True
        learns = {key.namespace, watch.namespace} <= self.sharing
        return learns and (key.goal in watch.goals or key.goal in self._known(watch.namespace))

    def _known(self, namespace: str) -> Collection[str]:
        return self._stamps.get(namespace, {}).keys()

    def _share(self, sharing: frozenset[str]) -> None:
        if sharing == self.sharing:
            return
        concerned = sharing | self.sharing
        self.sharing = sharing
        self._shared += 1
        for watch in self._watches:
            if watch.namespace in concerned:
                watch.change_all()


def _by_namespace(keys: Iterable[GoalKey]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for namespace, goal in keys:
        found.setdefault(namespace, set()).add(goal)
    return found
