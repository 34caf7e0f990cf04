"""Writes Events about admitted pods: one task, which no admission ever waits for."""

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from remora.clock import Clock
from remora.errors import Unavailable
from remora.pauses import Sleep
from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.webhook.event_series import Drop, Series, SeriesBook
from remora_operator.webhook.notices import Notice, notices
from remora_operator.webhook.review import Answer

logger = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
"""Between two rounds: what happens meanwhile counts up, and is one write."""

_PATIENCE_S: Final = 60.0
"""The longest pause while the API server is away."""

_LAST_ROUND_S: Final = 2.0
_LATER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class EventWriter:
    """Tells the cluster what became of pods."""

    def __init__(
        self,
        api: ApiServer,
        clock: Clock,
        *,
        registry: CollectorRegistry,
        instance: str | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Take where to write.

        Args:
            api: Needs the right to create and patch ``events`` of ``events.k8s.io``.
            clock: Dates Events.
            registry: Where it is counted what no Event tells of.
            instance: Names this replica; None: the host's name, which is a pod's own.
            sleep: Waits between rounds.
        """
        self._api = api
        self._clock = clock
        self._dropped = Counter(
            "remora_operator_events_dropped",
            "Occurrences that no Event tells of.",
            ("reason",),
            registry=registry,
        )
        for reason in Drop:
            self._dropped.labels(reason.value)
        self._instance = instance or socket.gethostname()
        self._sleep = sleep
        self._book = SeriesBook(self._instance)
        self._moved = asyncio.Event()
        self._said_statuses = set[int]()

    def tell(self, answer: Answer) -> None:
        """Take an answer that was sent; neither waits nor raises."""
        for notice in notices(answer):
            self.note(notice)

    def note(self, notice: Notice) -> None:
        """Take something else to say; neither waits nor raises."""
        now_ns, now_s = self._clock.now_unix_ns(), self._clock.monotonic_s()
        dropped = self._book.note(notice, now_ns, now_s)
        if dropped is not None:
            self._drop(dropped, 1)
        self._moved.set()

    def _drop(self, reason: Drop, count: int) -> None:
        self._dropped.labels(reason.value).inc(count)

    async def run(self) -> None:
        """Write until cancelled; then a last round, as far as it gets in a moment."""
        try:
            await self._rounds()
        finally:
            await self._last_round()

    async def _rounds(self) -> None:
        pause_s = PAUSE_S
        while True:
            await self._moved.wait()
            self._moved.clear()
            pause_s = PAUSE_S if await self._round() else min(2 * pause_s, _PATIENCE_S)
            if self._book.due():
                self._moved.set()
            await self._sleep(pause_s)

    async def _last_round(self) -> None:
        try:
            async with asyncio.timeout(_LAST_ROUND_S):
                await self._round()
        except TimeoutError:
            pass  # what is left is counted
        finally:
            for series in self._book.due():
                self._drop(Drop.STOPPED, self._book.drop(series))

    async def _round(self) -> bool:
        """Write what is due; False: the API server is away, and the rest stays due."""
        for series in self._book.due():
            try:
                await self._write(series)
            except Unavailable as error:
                if not isinstance(error, Refused) or _is_for_later(error):
                    logger.info("Events wait: %s", error)
                    return False
                self._refused(series, error)
        return True

    async def _write(self, series: Series) -> None:
        count = series.count  # more may happen while this is under way
        if series.written:
            if await self._api.patch(series.path, series.progress()) is not None:
                series.written = count
                return
            # It has expired, or somebody has deleted it.
            self._book.rename(series, self._clock.now_unix_ns())
        try:
            await self._api.create(series.collection, series.event(self._instance))
        except Refused as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
            # It has been created, and the answer to that was lost: the next round counts it up.
            series.written = 1
            return
        series.written = count

    def _refused(self, series: Series, error: Refused) -> None:
        """Give up what the API server does not take: a namespace is gone, or a right missing."""
        self._drop(Drop.REFUSED, self._book.drop(series))
        level = logging.DEBUG if error.status in self._said_statuses else logging.WARNING
        self._said_statuses.add(error.status)
        logger.log(level, "an Event was not written: %s", error)


def _is_for_later(error: Refused) -> bool:
    return error.status in _LATER or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
