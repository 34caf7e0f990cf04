"""Whether the aggregator is well: its store answers a read, and its last commit did not fail."""

import asyncio
from typing import Final

from remora.clock import Clock
from remora.errors import Unavailable
from remora_aggregator.store.record_store import RecordStore

FRESH_S: Final = 1.0
"""How long an answer counts: whoever probes, the store is asked no more often."""
PATIENCE_S: Final = 5.0

_STOPPING: Final = "the aggregator is stopping"


class Readiness:
    """Looks at a store when it is asked.

    Attributes:
        last_position: Of the newest record, when that was last read; None before.
    """

    def __init__(self, store: RecordStore, clock: Clock, *, tells_reasons: bool) -> None:
        """Take the store.

        Args:
            store: Is looked at.
            clock: Says how long ago that was.
            tells_reasons: Whether the database's own words are told. They may name hosts and
                users, and anybody may ask.
        """
        self.last_position: int | None = None
        self._store = store
        self._clock = clock
        self._tells_reasons = tells_reasons
        self._is_draining = False
        self._looked_s: float | None = None
        self._found = ""
        self._lock = asyncio.Lock()

    def drain(self) -> None:
        """Say from now on that the aggregator is stopping."""
        self._is_draining = True

    async def problems(self) -> list[str]:
        """Say what is wrong; nothing if all is well."""
        if self._is_draining:
            return [_STOPPING]
        async with self._lock:
            now_s = self._clock.monotonic_s()
            if self._looked_s is None or now_s - self._looked_s >= FRESH_S:
                self._found = await self._look()
                self._looked_s = self._clock.monotonic_s()
        return [self._found] if self._found else []

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE_S):
                self.last_position = await self._store.last_position()
                if self._store.problem:
                    # Nobody reports to an aggregator that is not ready, so it tries by itself.
                    await self._store.try_again()
        except TimeoutError:
            return f"the store did not answer within {PATIENCE_S:g} seconds"
        except Unavailable as error:
            text = str(error)
            return text if self._tells_reasons else text.partition(":")[0]
        return ""
