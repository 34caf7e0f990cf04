"""Pauses and completes tasks that nobody calls any more."""

import asyncio
import logging

from remora.clock import Clock
from remora.errors import BadRequest, Unavailable
from remora_aggregator.tasks.conclusions import QuietRules, gone_quiet
from remora_aggregator.tasks.leases import NS_PER_S
from remora_aggregator.tasks.ports import TaskStore
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, gone

logger = logging.getLogger(__name__)

SWEEP_S = 10.0
_AT_ONCE = 200


class TaskSweep:
    """Looks for quiet tasks now and then; replicas that do so together do no harm."""

    def __init__(self, store: TaskStore, rules: QuietRules, clock: Clock) -> None:
        """Take the rules."""
        self._store = store
        self._rules = rules
        self._clock = clock

    async def run(self) -> None:
        """Sweep now and then until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                logger.warning("quiet tasks could not be looked for: %s", error)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> int:
        """Change the tasks that are due; return how many that were."""
        paused = await self._swept(self._rules.pause_after_s, paused=False)
        return paused + await self._swept(self._rules.complete_after_s, paused=True)

    async def _swept(self, after_s: float | None, *, paused: bool) -> int:
        if after_s is None:
            return 0
        swept = 0
        while True:
            before = self._clock.now_unix_ns() - round(after_s * NS_PER_S)
            keys = await self._store.quiet_tasks(before, paused=paused, limit=_AT_ONCE)
            changed = [await self._quieten(key) for key in keys]
            swept += sum(changed)
            # None changed: the store's clock is behind this one.
            if len(keys) < _AT_ONCE or not any(changed):
                return swept

    async def _quieten(self, key: TaskKey) -> bool:
        """Change a task if it is due by the store's clock, too; tell whether it was."""
        found: list[Task] = []

        def decide(entry: TaskEntry | None, now_unix_ns: int) -> Task:
            if entry is None:
                raise gone(key)
            found[:] = [entry.task]
            return gone_quiet(entry, self._rules, now_unix_ns)

        try:
            return (await self._store.change_task(key, decide)).task not in found
        except BadRequest:
            return False  # it was purged meanwhile
