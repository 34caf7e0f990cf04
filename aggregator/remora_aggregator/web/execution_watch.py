"""The resource ``/v1/executions/watch``: executions as they change, as server-sent events."""

import asyncio
from typing import Final

from aiohttp import web

from remora_aggregator.service.execution_service import PAUSE_S
from remora_aggregator.service.execution_wire import checked_execution_id
from remora_aggregator.service.permissions import Act
from remora_aggregator.store.execution_selection import PAGE_EXECUTIONS
from remora_aggregator.store.execution_store import ExecutionChanges
from remora_aggregator.web.answering import in_time
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.event_stream import (
    EventStream,
    ended_quietly,
    event_of,
    place_among_watchers,
)
from remora_aggregator.web.execution_answer import execution_json
from remora_aggregator.web.execution_parameters import ExecutionWatchParameters
from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.operation import EVENTS, Content, Operation
from remora_aggregator.web.question import about
from remora_aggregator.web.tasks import asked_namespaces


class _Following:
    """What one client follows."""

    def __init__(self, front: Front, namespaces: frozenset[str] | None, execution_id: str) -> None:
        self._front = front
        self._namespaces = namespaces
        self._execution_id = execution_id

    async def read(self, cursor: str) -> ExecutionChanges:
        """Read what changed after a cursor; raises BadRequest where it is none of ours."""
        return await self._front.executions.changes(
            cursor,
            namespaces=self._namespaces,
            execution_id=self._execution_id,
            limit=PAGE_EXECUTIONS,
        )

    async def tell(
        self, stream: EventStream, changes: ExecutionChanges, woken: asyncio.Event
    ) -> None:
        """Send changes, and those that follow, until the client or the aggregator goes."""
        while not self._front.stopping.is_set():
            for one in changes.executions:
                shown = execution_json(one.stored, steps=bool(self._execution_id))
                await stream.send(one.cursor, event_of("execution", one.cursor, shown))
            if len(changes.executions) < PAGE_EXECUTIONS:
                if not await stream.rest(changes.cursor, woken):
                    return
                await asyncio.sleep(PAUSE_S)
            woken.clear()
            changes = await self.read(changes.cursor)


async def watch_executions(
    request: web.Request, asked: ExecutionWatchParameters
) -> web.StreamResponse:
    """Send executions as they change, until the client goes or the aggregator stops."""
    front = front_of(request)
    with about("namespace"):
        namespaces = asked_namespaces(caller_of(request), asked.namespace)
    with about("execution_id"):
        one = checked_execution_id(asked.execution_id) if asked.execution_id else ""
    following = _Following(front, namespaces, one)
    last = request.headers.get("Last-Event-ID", "")
    with place_among_watchers(front):
        async with front.store.followed() as woken:
            async with in_time(front.bounds):
                cursor = last or asked.cursor or await front.executions.last_cursor()
                with about("Last-Event-ID" if last else "cursor"):
                    begun = await following.read(cursor)
            stream = EventStream(request)
            await stream.begin(cursor)
            with ended_quietly():
                await following.tell(stream, begun, woken)
            return stream.response


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/executions/watch", "watchExecutions", "Follow executions as they change",
        parameters=ExecutionWatchParameters, handler=watch_executions,
        answer=Content(
            EVENTS, None,
            "Server-sent events. `ready` comes first, with the `cursor` that the watch begins "
            "after; then `execution`, each with an execution as of /v1/executions as it is now; "
            "with its steps where one is followed alone. Every event's id is a cursor. When the "
            "aggregator stops the stream ends: come again with `Last-Event-ID`.",
        ),
        act=Act.READ_EXECUTIONS, takes_place=False,
    ),
)  # fmt: skip
