"""Has aggregators that share a database tell each other of their sidecars."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pydantic import TypeAdapter, ValidationError

from remora.clock import Clock
from remora.errors import Unavailable
from remora.pauses import Sleep
from remora.task_owner import TaskOwner
from remora_aggregator.store.postgres.sidecar_table import SidecarRow, SidecarTable
from remora_aggregator.web.roster import LATELY_NS, Roster, Sidecar

logger = logging.getLogger(__name__)

EVERY_S: Final = 30.0
_AGAIN_NS: Final = 120 * 10**9
"""How far back each look goes: further than clocks of aggregators are apart."""
_SIDECAR: Final = TypeAdapter(Sidecar)


class RosterSharing:
    """Writes what one aggregator heard of sidecars, and reads what others did."""

    def __init__(
        self, table: SidecarTable, roster: Roster, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Take the table, who knows what this one heard, and the time."""
        self._table = table
        self._roster = roster
        self._clock = clock
        self._sleep = sleep
        self._has_read = False

    async def run(self) -> None:
        """Exchange every half minute, until cancelled."""
        while True:
            try:
                await self.exchange()
            except Unavailable as error:
                logger.debug("sidecars of other aggregators are not known: %s", error)
            await self._sleep(EVERY_S)

    async def exchange(self) -> None:
        """Write and read once; raises Unavailable, and then writes again what it could not."""
        now = self._clock.now_unix_ns()
        changed = self._roster.take_changed()
        try:
            if changed:
                await self._table.put([_row(one) for one in changed], now - LATELY_NS)
        except Unavailable:
            self._roster.give_back(changed)
            raise
        back_ns = _AGAIN_NS if self._has_read else LATELY_NS
        for said in await self._table.seen_since(now - back_ns):
            if (sidecar := _sidecar(said)) is not None:
                self._roster.note(sidecar, is_news=False)
        self._has_read = True


@asynccontextmanager
async def sharing(table: SidecarTable | None, roster: Roster, clock: Clock) -> AsyncIterator[None]:
    """Exchange as long as the block lasts; without a table there is nobody to exchange with."""
    owner = TaskOwner("roster")
    if table is not None:
        owner.spawn(RosterSharing(table, roster, clock).run(), name="sidecars")
    try:
        yield
    finally:
        await owner.aclose()


def _row(one: Sidecar) -> SidecarRow:
    said = _SIDECAR.dump_json(one).decode()
    return SidecarRow(one.key.namespace, one.key.pod_uid, one.seen_unix_ns, said)


def _sidecar(said: str) -> Sidecar | None:
    """Read a row; None where another version wrote what this one can't read."""
    try:
        return _SIDECAR.validate_json(said)
    except ValidationError:
        return None
