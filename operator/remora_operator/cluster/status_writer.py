"""Writes the statuses of policy objects, where they are not what they should be: the leader's.

What changes within `SETTLE_S` is written at once; what can't be written is worked out anew and
tried again. A status is never written over an object that has changed meanwhile.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus

from remora.clock import Clock
from remora.errors import Unavailable
from remora.pauses import GrowingPause
from remora_operator.cluster.api_server import ApiServer, Json, Refused
from remora_operator.cluster.metrics import ClusterMetrics
from remora_operator.cluster.resources import path_of
from remora_operator.cluster.statuses import StatusBook
from remora_operator.policies import Answer, ObjectKey, PolicyShelf, each_status

logger = logging.getLogger(__name__)

SETTLE_S = 0.5
"""Between the first change and the writing of what came of it and of those after it."""

RESYNC_S = 60.0
"""After so long without a change it is looked whether all is as it should be."""

_LONGEST_PAUSE_S = 15.0
_OWN_FAULT = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
"""How a server refuses one status and no other: that one holds up nobody."""


class StatusWriter:
    """Works out statuses and writes them."""

    def __init__(
        self,
        api: ApiServer,
        shelf: PolicyShelf,
        answer_of: Callable[[str], Answer],
        book: StatusBook,
        *,
        clock: Clock,
        metrics: ClusterMetrics,
        is_leader: Callable[[], bool],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take what statuses are made of.

        Args:
            api: Entered already.
            shelf: What is in force.
            answer_of: Gives, by a pod's uid, what its sidecar said last to this replica, if it
                is the one that holds its stream.
            book: The statuses that objects have.
            clock: Dates conditions.
            metrics: Count.
            is_leader: Asked before every write.
            jitter: Between 0 and 1.
        """
        self._api = api
        self._shelf = shelf
        self._answer_of = answer_of
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._is_leader = is_leader
        self._changed = asyncio.Event()
        self._pauses = GrowingPause(jitter, longest_s=_LONGEST_PAUSE_S)
        self._refused: dict[ObjectKey, str] = {}

    def changed(self) -> None:
        """Say that something may have another status now."""
        self._changed.set()

    async def lead(self) -> None:
        """Write until cancelled."""
        self._changed.set()  # the leader before may have left something unwritten
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), RESYNC_S)
            await asyncio.sleep(SETTLE_S)
            self._changed.clear()
            try:
                is_done = await self._write()
            except Unavailable as error:
                logger.warning("statuses can't be written: %s", error)
                self._metrics.status_writes.labels("unavailable").inc()
                is_done = False
            if is_done:
                self._pauses.begin_anew()
                continue
            await asyncio.sleep(self._pauses.next_s())
            self._changed.set()

    async def _write(self) -> bool:
        """Write what differs; tells whether all of it is written."""
        now = datetime.fromtimestamp(self._clock.now_unix_ns() / 1e9, UTC)
        is_done = True
        for key, status in each_status(self._shelf, self._answer_of, self._book.conditions(), now):
            patch = self._book.difference(key, status)
            if patch is None:
                await asyncio.sleep(0)
            elif not await self._patch(key, patch):
                is_done = False
        return is_done

    async def _patch(self, key: ObjectKey, patch: Json) -> bool:
        if not self._is_leader():
            return False
        try:
            written = await self._api.patch(f"{path_of(key)}/status", patch)
        except Refused as refused:
            return self._was_refused(key, refused)
        self._refused.pop(key, None)
        self._metrics.status_writes.labels("gone" if written is None else "written").inc()
        if written is not None:
            self._book.put(key, written)
        return True

    def _was_refused(self, key: ObjectKey, refused: Refused) -> bool:
        """Take a refusal; after a conflict the watch brings what the object is now."""
        if refused.status == HTTPStatus.CONFLICT:
            self._metrics.status_writes.labels("conflict").inc()
            return False
        if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise refused
        self._metrics.status_writes.labels("refused").inc()
        if self._refused.get(key) != str(refused):
            logger.warning("the status of %s can't be written: %s", key, refused)
        self._refused[key] = str(refused)
        return refused.status in _OWN_FAULT
