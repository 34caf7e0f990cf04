"""Makes router versions anew, once a day."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import time

from remora.clock import Clock
from remora.errors import BadRequest, Unavailable
from remora_aggregator.service.score_versions import ScoreVersions
from remora_aggregator.signals.ports import ScoreStore, VersionBook
from remora_aggregator.signals.refit import last_due_ms
from remora_aggregator.signals.versioning import last_made_ms

logger = logging.getLogger(__name__)

LOOK_S = 30.0
"""Between two looks at the clock, which may be set, or stand still while a machine sleeps."""

NOTE = "made by the daily refit"

_NS_PER_MS = 1_000_000


class DailyRefit:
    """Refits the versions of every namespace; replicas that do so together make one of each."""

    def __init__(
        self, store: ScoreStore, versions: ScoreVersions, clock: Clock, at: time | None
    ) -> None:
        """Take when it is done, in UTC; None: never."""
        self._store = store
        self._versions = versions
        self._clock = clock
        self._at = at
        self._done_ms = 0

    async def run(self) -> None:
        """Refit every day until cancelled; what was missed is made up for."""
        while self._at is not None:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Unavailable as error:
                logger.warning("router versions could not be made anew: %s", error)

    async def look(self) -> int:
        """Refit if it is due; return how many versions were made. Raises Unavailable."""
        if self._at is None:
            return 0
        due_ms = last_due_ms(self._at, self._clock.now_unix_ns() // _NS_PER_MS)
        if due_ms <= self._done_ms:
            return 0
        newest = await self._newest()
        made = [await self._refit(name, newest[name], due_ms) for name in sorted(newest)]
        self._done_ms = due_ms
        return sum(made)

    async def _newest(self) -> Mapping[str, int]:
        """Say of each namespace when its last call began."""
        newest: dict[str, int] = {}
        for known in await self._store.goals(None):
            namespace = known.key.namespace
            newest[namespace] = max(newest.get(namespace, 0), known.last_ms)
        return newest

    async def _refit(self, namespace: str, newest_ms: int, due_ms: int) -> bool:
        """Make a version if answers were judged since the last one."""

        def is_done(book: VersionBook) -> bool:
            return last_made_ms(book) >= due_ms

        book = await self._versions.book(namespace)
        since_ms = last_made_ms(book)
        if is_done(book) or not await self._has_evidence(namespace, since_ms, newest_ms):
            return False
        try:
            book, number = await self._versions.propose(
                namespace, note=NOTE, activate=True, unless=is_done
            )
        except BadRequest:
            return False  # nothing is known of any goal any more
        if number:
            said = book.verdicts[number]
            logger.info(
                "router version %d of namespace %s is %s: %s",
                number, namespace, said.result, said.reason,
            )  # fmt: skip
        return bool(number)

    async def _has_evidence(self, namespace: str, since_ms: int, newest_ms: int) -> bool:
        if newest_ms < since_ms:
            return False
        own = frozenset({namespace})
        found = await self._store.evidence(own, "", since_ms, newest_ms + 1)
        return any(counts.weight > 0 for counts in found.values())
