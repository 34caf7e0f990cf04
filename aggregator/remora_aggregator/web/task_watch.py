"""The resource ``/v1/tasks/watch``: tasks as they change, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from remora_aggregator.service.permissions import Act
from remora_aggregator.tasks.ports import Changes
from remora_aggregator.tasks.selection import PAGE_TASKS
from remora_aggregator.web.answering import in_time
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.event_stream import (
    EventStream,
    ended_quietly,
    event_of,
    place_among_watchers,
)
from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.operation import EVENTS, Content, Operation
from remora_aggregator.web.parameters import TaskWatchParameters
from remora_aggregator.web.question import about
from remora_aggregator.web.task_answer import task_json
from remora_aggregator.web.tasks import asked_namespaces

_PAUSE_S: Final = 0.1
"""Between two reads: every commit wakes, and most change no task."""


async def watch_tasks(request: web.Request, asked: TaskWatchParameters) -> web.StreamResponse:
    """Send tasks as they change, until the client goes or the aggregator stops."""
    front = front_of(request)
    with about("namespace"):
        namespaces = asked_namespaces(caller_of(request), asked.namespace)
    last = request.headers.get("Last-Event-ID", "")
    with place_among_watchers(front):
        async with front.store.followed() as woken:
            async with in_time(front.bounds):
                cursor = last or asked.cursor or await front.tasks.last_cursor()
                with about("Last-Event-ID" if last else "cursor"):
                    begun = await _read(front, cursor, namespaces)
            stream = EventStream(request)
            await stream.begin(cursor)
            with ended_quietly():
                await _follow(stream, front, begun, namespaces, woken)
            return stream.response


async def _read(front: Front, cursor: str, namespaces: frozenset[str] | None) -> Changes:
    return await front.tasks.changes(
        cursor, namespaces=namespaces, controls_only=False, limit=PAGE_TASKS
    )


async def _follow(
    stream: EventStream, front: Front, changes: Changes, namespaces: frozenset[str] | None,
    woken: asyncio.Event,
) -> None:  # fmt: skip
    async for found in _changes(stream, front, changes, namespaces, woken):
        for changed in found.tasks:
            block = event_of("task", changed.cursor, task_json(changed.entry))
            await stream.send(changed.cursor, block)


async def _changes(
    stream: EventStream, front: Front, changes: Changes, namespaces: frozenset[str] | None,
    woken: asyncio.Event,
) -> AsyncIterator[Changes]:  # fmt: skip
    while not front.stopping.is_set():
        yield changes
        if len(changes.tasks) < PAGE_TASKS:
            if not await stream.rest(changes.cursor, woken):
                return
            await asyncio.sleep(_PAUSE_S)
        woken.clear()
        changes = await _read(front, changes.cursor, namespaces)


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/tasks/watch", "watchTasks", "Follow tasks as they change",
        parameters=TaskWatchParameters, handler=watch_tasks,
        answer=Content(
            EVENTS, None,
            "Server-sent events. `ready` comes first, with the `cursor` that the watch begins "
            "after; then `task`, each with a task as of /v1/tasks as it is now. What its calls sum "
            "up to is no change. Every event's id is a cursor. When the aggregator stops the "
            "stream ends: come again with `Last-Event-ID`.",
        ),
        act=Act.READ_TASKS, takes_place=False,
    ),
)  # fmt: skip
