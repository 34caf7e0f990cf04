"""The resource ``/v1/records/watch``: records as they are committed, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from remora_aggregator.store.cursor import cursor_of
from remora_aggregator.store.following import Seen, feed
from remora_aggregator.store.reading import Page
from remora_aggregator.store.sql import Place
from remora_aggregator.web.answering import in_time
from remora_aggregator.web.callers import caller_of, seen
from remora_aggregator.web.event_stream import (
    EventStream,
    ended_quietly,
    event_of,
    place_among_watchers,
)
from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.operation import EVENTS, Content, Operation
from remora_aggregator.web.parameters import WatchParameters
from remora_aggregator.web.question import about, place, record_filter
from remora_aggregator.web.records import stored_json
from remora_aggregator.web.shown_fields import ShownFields, shown_fields


async def watch_records(request: web.Request, asked: WatchParameters) -> web.StreamResponse:
    """Send records as they are committed, until the client goes or the aggregator stops."""
    front = front_of(request)
    with about("fields"):
        shown = shown_fields(asked.fields, bodies=asked.bodies)
    wanted = record_filter(asked, front.clock.now_unix_ns())
    chosen = seen(caller_of(request), wanted)
    after = _begin(request, asked)
    with place_among_watchers(front):
        async with front.store.followed() as woken:
            if after is None:
                async with in_time(front.bounds):
                    after = Place(await front.store.last_position())
            stream = EventStream(request)
            await stream.begin(cursor_of(after))
            pages = feed(front.store, chosen, after, woken, bodies=shown.bodies)
            with ended_quietly():
                await _follow(stream, front, pages, woken, shown)
            return stream.response


def _begin(request: web.Request, asked: WatchParameters) -> Place | None:
    if last := request.headers.get("Last-Event-ID"):
        return place(last, "Last-Event-ID")
    return place(asked.cursor)


async def _follow(
    stream: EventStream, front: Front, pages: AsyncIterator[Page | Seen],
    woken: asyncio.Event, shown: ShownFields,
) -> None:  # fmt: skip
    """Send what comes, until the aggregator stops or the caller may see it no more."""
    async for news in pages:
        if isinstance(news, Page):
            await _send_page(stream, news, shown)
            if news.last is not None and not await stream.goes_on(cursor_of(news.last)):
                return
        elif not await stream.rest(cursor_of(news.place), woken):
            return
        if front.stopping.is_set():
            return


async def _send_page(stream: EventStream, page: Page, shown: ShownFields) -> None:
    events = await asyncio.to_thread(
        lambda: [
            (stored.cursor, event_of("record", stored.cursor, stored_json(stored, shown)))
            for stored in page.records
        ]
    )
    for cursor, block in events:
        await stream.send(cursor, block)


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/records/watch", "watchRecords", "Follow the records as they are committed",
        parameters=WatchParameters, handler=watch_records,
        answer=Content(
            EVENTS, None,
            "Server-sent events. `ready` comes first, with the `cursor` that the watch begins "
            "after; then `record`, each with a record as of /v1/records. Every event's id is a "
            "cursor; a record that was revised comes again. When the aggregator stops the stream "
            "ends: come again with `Last-Event-ID`.",
        ),
        takes_place=False,
    ),
)  # fmt: skip
