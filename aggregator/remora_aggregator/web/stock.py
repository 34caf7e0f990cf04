"""How much is stored, asked of the store no more often than it changes much."""

import asyncio
from typing import Final

from remora.clock import Clock
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import Stock
from remora_aggregator.store.selection import Selection
from remora_aggregator.store.sql import Order
from remora_aggregator.web.roster import Roster, note_all

FRESH_S: Final = 10.0
_PAGE_RECORDS: Final = 200
_PAGES: Final = 5


class StockWatch:
    """Looks at a store when it is asked."""

    def __init__(self, store: RecordStore, roster: Roster, clock: Clock) -> None:
        """Take the store, and who is told of those that reported to others or before."""
        self._store = store
        self._roster = roster
        self._clock = clock
        self._looked_s: float | None = None
        self._found: Stock | None = None
        self._lock = asyncio.Lock()

    async def stock(self) -> Stock:
        """Say how much there is; raises Unavailable."""
        async with self._lock:
            now_s = self._clock.monotonic_s()
            is_fresh = self._looked_s is not None and now_s - self._looked_s < FRESH_S
            if self._found is None or not is_fresh:
                await self._call_the_roll()
                self._found = await self._store.write_with(self._store.backend.stock)
                self._looked_s = now_s
            return self._found

    async def _call_the_roll(self) -> None:
        """Note who reported the newest records: to this aggregator or another, now or before."""
        after, newest = None, Order(descending=True)
        for _ in range(_PAGES):
            page = await self._store.page(
                Selection(namespaces=None), after=after, order=newest, most=_PAGE_RECORDS,
                bodies=False,
            )  # fmt: skip
            note_all(self._roster, page.records)
            after = page.last
            if page.is_last or after is None:
                return
