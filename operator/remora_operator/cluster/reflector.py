"""Keeps what somebody knows of a collection like the collection: a list, then a watch, for ever.

Level-based: after whatever went wrong the sink is told of what is there and of what is gone, once
more if need be; nothing hangs on an event having been seen. A watch is taken up where it ended.
Where the server has forgotten what happened since (410), or a few tries came to nothing, the
collection is listed anew.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from remora.clock import Clock
from remora.errors import Unavailable
from remora.pauses import GrowingPause
from remora_operator.cluster.api_server import ApiServer, Json, Refused
from remora_operator.cluster.known import KnownObjects
from remora_operator.cluster.metrics import ClusterMetrics
from remora_operator.cluster.resources import Resource, Seen, seen
from remora_operator.cluster.watch_events import Event, Expired, Kind, Lines, read_event

logger = logging.getLogger(__name__)

_AT_ONCE = 50
"""Objects that are taken before others have their turn on the loop."""


class Sink(Protocol):
    """Takes what stands in a collection."""

    def put(self, value: Json) -> bool:
        """Take an object as it is now; tells whether it is kept, so that its end matters."""
        ...

    def remove(self, one: Seen) -> None:
        """Forget an object that was kept."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a reflector is.

    Attributes:
        page: Objects in one answer to a list.
        list_s: How long such an answer may take.
        watch_s: How long a watch is asked to last, from half of it on: not all end at once.
        idle_s: How long a watch may be silent before it is taken for broken. Servers send a
            bookmark each minute or so.
        short_s: A watch that ends before this, without a word, counts as a try that failed.
        tries: Failures in a row after which the collection is listed anew.
        longest_pause_s: What pauses between tries grow to.
    """

    page: int = 250
    list_s: float = 30.0
    watch_s: float = 300.0
    idle_s: float = 130.0
    short_s: float = 1.0
    tries: int = 4
    longest_pause_s: float = 15.0


class Reflector:
    """One collection and its sink."""

    def __init__(
        self,
        api: ApiServer,
        resource: Resource,
        sink: Sink,
        *,
        clock: Clock,
        metrics: ClusterMetrics,
        pace: Pace,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take what to watch and who is told.

        Args:
            api: Entered already.
            resource: The collection.
            sink: Is told.
            clock: Tells how long a watch lasted.
            metrics: Count.
            pace: How patient it is.
            jitter: Between 0 and 1.
        """
        self.resource = resource
        self.complete = asyncio.Event()
        self._api = api
        self._sink = sink
        self._clock = clock
        self._metrics = metrics
        self._pace = pace
        self._jitter = jitter
        self._pauses = GrowingPause(jitter, longest_s=pace.longest_pause_s)
        self._known = KnownObjects()
        self._version: str | None = None
        self._heard = 0
        self._failures = 0
        self._metrics.watches_broken.labels(resource.name).set(1)

    async def run(self) -> None:
        """List and watch until cancelled; `complete` is set after the first list."""
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch(self._version or "")
            except Expired:
                self._metrics.restarts.labels(self.resource.name, "expired").inc()
                logger.info("%s are listed anew: the past is forgotten", self.resource.name)
                self._version = None
            except Unavailable as error:
                self._failed(error)
            else:
                continue
            await asyncio.sleep(self._pauses.next_s())

    def _failed(self, error: Unavailable) -> None:
        self._metrics.restarts.labels(self.resource.name, "error").inc()
        self._metrics.watches_broken.labels(self.resource.name).set(1)
        # Said when it begins; then it is the metric's to say that it lasts.
        level = logging.DEBUG if self._failures else logging.WARNING
        logger.log(level, "%s can't be watched: %s", self.resource.name, error)
        self._failures += 1
        if self._failures % self._pace.tries == 0:
            self._version = None

    def _fine(self) -> None:
        if self._failures:
            logger.info("%s are watched again", self.resource.name)
        self._failures = 0
        self._pauses.begin_anew()
        self._metrics.watches_broken.labels(self.resource.name).set(0)

    async def _list(self) -> None:
        """Take all that is there, page by page, and then forget what is not."""
        try:
            version = await self._pages(self._pace.page)
        except Expired:  # a page came too late: all at once can't
            version = await self._pages(0)
        self._version = version
        self.complete.set()

    async def _pages(self, limit: int) -> str:
        names = set[tuple[str, str]]()
        query = dict(self.resource.selectors)
        if limit:
            query["limit"] = str(limit)
        while True:
            page = await self._page(query)
            items, metadata = page.get("items") or (), page["metadata"]
            for index, value in enumerate(items):
                names.add(seen(value)[:2])
                self._put(value)
                if index % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)
            if not (more := metadata.get("continue")):
                break
            query["continue"] = more
        for one in self._known.absent(names):
            self._remove(one)
        self._count()
        return str(metadata["resourceVersion"])

    async def _page(self, query: Mapping[str, str]) -> Json:
        resource = self.resource
        try:
            page = await self._api.listed(
                resource.path, query, accept=resource.list_form, timeout_s=self._pace.list_s
            )
        except Refused as refused:
            if refused.status == HTTPStatus.GONE and "continue" in query:
                raise Expired from None
            raise
        if not isinstance(page.get("metadata"), dict) or not page["metadata"].get(
            "resourceVersion"
        ):
            raise Unavailable(f"the API server's answer to {resource.path} is no list")
        return page

    async def _watch(self, version: str) -> None:
        """Watch until the server ends it; raises where it should not have."""
        began_s, self._heard = self._clock.monotonic_s(), 0
        query = {
            **self.resource.selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(self._pace.watch_s * (1 + self._jitter()) / 2))),
        }
        await self._follow(query)
        if not self._heard and self._clock.monotonic_s() - began_s < self._pace.short_s:
            raise Unavailable("a watch ended as soon as it began")
        self._fine()

    async def _follow(self, query: Mapping[str, str]) -> None:
        path, form = self.resource.path, self.resource.watch_form
        lines = Lines()
        try:
            async with self._api.streamed(
                path, query, accept=form, idle_s=self._pace.idle_s
            ) as pieces:
                self._metrics.watches_broken.labels(self.resource.name).set(0)
                async for piece in pieces:
                    for line in lines.feed(piece):
                        await self._take(read_event(line))
        except Refused as refused:
            if refused.status == HTTPStatus.GONE:
                raise Expired from None
            raise

    async def _take(self, event: Event) -> None:
        match event.kind:
            case Kind.PUT:
                self._put(event.object)
            case Kind.GONE:
                self._gone(seen(event.object))
            case Kind.BOOKMARK:
                pass
        self._version = event.version
        self._heard += 1
        self._count()
        if self._heard == 1:
            self._fine()
        if self._heard % _AT_ONCE == 0:
            await asyncio.sleep(0)

    def _put(self, value: Json) -> None:
        one = seen(value)
        with self._surviving(one):
            is_kept = self._sink.put(value)
            former = self._known.keep(one) if is_kept else self._known.drop(one[:2])
            if former is not None:
                self._sink.remove(former)

    def _gone(self, one: Seen) -> None:
        if (known := self._known.drop(one[:2])) is not None:
            self._remove(known)

    def _remove(self, one: Seen) -> None:
        with self._surviving(one):
            self._sink.remove(one)

    @contextmanager
    def _surviving(self, one: Seen) -> Iterator[None]:
        """Let no object that nobody foresaw end the watch of all the others."""
        try:
            yield
        except Exception:
            self._metrics.unreadable.labels(self.resource.name).inc()
            where = f"{one.namespace}/{one.name}" if one.namespace else one.name
            logger.exception("%s %s can't be taken", self.resource.name, where)

    def _count(self) -> None:
        self._metrics.watched.labels(self.resource.name).set(len(self._known))
