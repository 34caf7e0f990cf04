"""What the store does by itself for what is learned: forgets what is too old, packs sums."""

from collections.abc import Callable
from functools import partial
from typing import Final

from remora.clock import Clock
from remora_aggregator.store import learning_forgetting as forgetting
from remora_aggregator.store.learning_forgetting import SLICE
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import Retention

_NS_PER_MS: Final = 1_000_000
_LATER: Final = 1_000
"""Whoever follows goals is not so many changes behind."""

type Work = Callable[[Rows], int]


class LearningUpkeep:
    """Looks after signals, trials and sums."""

    def __init__(self, store: RecordStore, keep: Retention, clock: Clock) -> None:
        """Take the store, and how long it keeps what."""
        self._store = store
        self._keep = keep
        self._clock = clock
        self._mark = store.backend.flavour.mark

    async def shed(self) -> None:
        """Forget and pack, slice by slice, so that nobody who reports waits; raises Unavailable."""
        now = self._clock.now_unix_ns()
        await self._all(partial(forgetting.forget_waiting, now_unix_ns=now, limit=SLICE))
        if self._keep.bodies_ns is not None:
            before = now - self._keep.bodies_ns
            await self._all(partial(forgetting.forget_text, before_unix_ns=before, limit=SLICE))
        if self._keep.signals_ns is not None:
            before = now - self._keep.signals_ns
            await self._all(partial(forgetting.forget, before_unix_ns=before, limit=SLICE))
        await self._all(partial(forgetting.pack, now_ms=now // _NS_PER_MS, limit=SLICE))
        await self._slice(partial(forgetting.forget_changes, later=_LATER))

    async def _all(self, work: Work) -> None:
        while await self._slice(work):
            pass

    async def _slice(self, work: Work) -> int:
        def run() -> int:
            with self._store.backend.transaction() as writing:
                return work(Rows(writing, self._mark))

        return await self._store.write_with(run)
