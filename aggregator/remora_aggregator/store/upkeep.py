"""What the store does by itself: sheds what is too old or too much, tidies, looks itself over."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from remora.clock import Clock
from remora.errors import Unavailable
from remora.pauses import Sleep
from remora_aggregator.store import removal, retention
from remora_aggregator.store.kalibr_upkeep import KalibrUpkeep
from remora_aggregator.store.learning_upkeep import LearningUpkeep
from remora_aggregator.store.port import Backend
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import Retention, Slice, Stock
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.store.totals import DAY_NS

logger = logging.getLogger(__name__)

PAUSE_S: Final = 60.0
DAY_S: Final = 86_400.0
FORGET_LEASES_NS: Final = 3 * DAY_NS
"""What is reported of a lease that ended before is charged from its beginning."""

type Decide = Callable[[Retention, Stock, int], Slice | None]
type Remove = Callable[[Backend, Slice], int]


class Upkeep:
    """Looks after one store.

    Attributes:
        shed_records: How many records were shed.
        shed_bodies: How many lost their bodies.
        damage: What the last look found damaged; empty if nothing.
    """

    def __init__(
        self,
        store: RecordStore,
        keep: Retention,
        clock: Clock,
        tasks: StoredTasks | None = None,
        learning: LearningUpkeep | None = None,
        kalibr: KalibrUpkeep | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Take the store, how much it may keep, and what is kept beside its records."""
        self.shed_records = 0
        self.shed_bodies = 0
        self.damage = ""
        self._store = store
        self._tasks = tasks
        self._learning = learning
        self._kalibr = kalibr
        self._keep = keep
        self._clock = clock
        self._sleep = sleep
        self._next_look_s = clock.monotonic_s() + DAY_S

    async def run(self) -> None:
        """Go on until cancelled; a store that can't be written is tried again later."""
        while True:
            try:
                await self.shed()
                await self._idle()
            except Unavailable as error:
                logger.warning("nothing is shed: %s", error)
            await self._sleep(PAUSE_S)

    async def shed(self) -> None:
        """Remove what must not be kept, slice by slice; raises Unavailable."""
        self.shed_bodies += await self._remove(retention.bodies_to_shed, removal.shed_bodies)
        self.shed_records += await self._remove(retention.facts_to_shed, removal.shed_facts)
        now = self._clock.now_unix_ns()
        work = partial(removal.shed_totals, self._store.backend, self._keep, now)
        await self._store.write_with(work)
        if self._tasks is not None:
            await self._tasks.forget_leases(now - FORGET_LEASES_NS)
        if self._learning is not None:
            await self._learning.shed()
        if self._kalibr is not None:
            await self._kalibr.shed()

    async def _remove(self, decide: Decide, remove: Remove) -> int:
        removed = 0
        while True:
            stock = await self._store.write_with(self._store.backend.stock)
            part = decide(self._keep, stock, self._clock.now_unix_ns())
            if part is None:
                return removed
            gone = await self._store.write_with(partial(remove, self._store.backend, part))
            removed += gone
            if not gone:
                return removed

    async def _idle(self) -> None:
        """Do what can wait, while nothing is to be written."""
        # Where others share the database: what one of them has left behind.
        await self._store.index_all()
        while self._store.is_idle and await self._store.write_with(self._store.backend.tidy):
            pass
        if self._store.is_idle and self._clock.monotonic_s() >= self._next_look_s:
            self._next_look_s = self._clock.monotonic_s() + DAY_S
            await self.look()

    async def look(self) -> None:
        """Look the database over, while it goes on serving."""
        self.damage = await asyncio.to_thread(self._store.backend.damage)
        if self.damage:
            logger.error("the store is damaged: %s; restore it from a backup", self.damage)
