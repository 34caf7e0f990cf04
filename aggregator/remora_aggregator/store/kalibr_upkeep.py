"""What the store does by itself for what Kalibr's clients send: forgets what is too old."""

from collections.abc import Awaitable, Callable
from typing import Final

from remora.clock import Clock
from remora_aggregator.store.kalibr_runs import KalibrRuns
from remora_aggregator.store.kalibr_spans import KalibrSpans
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import Retention

SLICE: Final = 1_000

_NS_PER_MS: Final = 1_000_000


class KalibrUpkeep:
    """Looks after runs, spans and capsules; paths are kept for good."""

    def __init__(self, store: RecordStore, keep: Retention, clock: Clock) -> None:
        """Take the store, and how long it keeps what."""
        self._runs = KalibrRuns(store)
        self._spans = KalibrSpans(store)
        self._keep = keep
        self._clock = clock

    async def shed(self) -> None:
        """Forget, slice by slice; raises Unavailable."""
        now = self._clock.now_unix_ns()
        if self._keep.signals_ns is not None:
            before_ms = (now - self._keep.signals_ns) // _NS_PER_MS
            await _all(lambda: self._runs.forget(before_ms, limit=SLICE))
        if self._keep.spans_ns is not None:
            before_ns = now - self._keep.spans_ns
            await _all(lambda: self._spans.forget(before_ns, limit=SLICE))


async def _all(forget: Callable[[], Awaitable[int]]) -> None:
    while await forget():
        pass
