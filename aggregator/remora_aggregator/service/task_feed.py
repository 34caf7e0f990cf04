"""Wakes those who watch tasks, when what they watch has changed.

One follower reads the store's changes for all of them: a task that begins is nothing to thousands
of sidecars that only want to hear what is paused or cancelled. Who is woken reads the store by
itself, from where it was, so that nobody's slowness costs anybody's memory.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from remora.errors import Unavailable
from remora_aggregator.tasks.ports import ChangedTask, TaskStore

_PAGE = 500
_PAUSE_S = 0.05
"""Between two wakes: what changes together is read together."""

_RETRY_S = 1.0


class TaskFeed:
    """Follows one store."""

    def __init__(self, store: TaskStore) -> None:
        """Watch nothing before `run`."""
        self._store = store
        self._watchers: dict[tuple[str, bool], set[asyncio.Event]] = {}

    @contextmanager
    def watched(self, namespace: str, *, controls_only: bool) -> Iterator[asyncio.Event]:
        """Give an event that is set when something may have changed, as long as the block lasts."""
        woken, key = asyncio.Event(), (namespace, controls_only)
        self._watchers.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            self._watchers[key].discard(woken)
            if not self._watchers[key]:
                del self._watchers[key]

    async def run(self) -> None:
        """Wake who watches, until cancelled."""
        while True:
            try:
                await self._follow()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        cursor = await self._store.last_cursor()
        self._wake(list(self._watchers))  # what changed while nobody followed
        while True:
            await self._store.changed(cursor)
            changes = await self._store.changes(
                cursor, namespaces=None, controls_only=False, limit=_PAGE
            )
            self._wake(_concerned(changes.tasks))
            cursor = changes.cursor
            await asyncio.sleep(_PAUSE_S)

    def _wake(self, keys: Sequence[tuple[str, bool]]) -> None:
        for key in keys:
            for woken in self._watchers.get(key, ()):
                woken.set()


def _concerned(tasks: Sequence[ChangedTask]) -> list[tuple[str, bool]]:
    """Name the watches that changes are news to."""
    every = {(changed.entry.task.key.namespace, False) for changed in tasks}
    controls = {
        (changed.entry.task.key.namespace, True) for changed in tasks if changed.changes_control
    }
    return [*every, *controls]
