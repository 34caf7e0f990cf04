"""The resource ``/v1/tasks``: pages of tasks, and one task with the receipts of its calls."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from remora_aggregator.service.caller import Caller
from remora_aggregator.service.permissions import Act
from remora_aggregator.tasks.selection import (
    Place,
    TaskSelection,
    checked_glob,
    cursor_of,
    place_of,
)
from remora_aggregator.tasks.states import State
from remora_aggregator.tasks.task import TaskEntry, TaskKey, checked_id, gone
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import OneTaskParameters, TaskListParameters
from remora_aggregator.web.question import about, moment
from remora_aggregator.web.records import stored_json
from remora_aggregator.web.shown_fields import shown_fields
from remora_aggregator.web.task_answer import TaskPageAnswer, TaskWithCallsAnswer, task_json
from remora_proto.v1 import records_pb2 as pb


def asked_namespaces(caller: Caller, namespace: str) -> frozenset[str] | None:
    """Say whose tasks are asked for; None: everybody's.

    Raises:
        BadRequest: The caller may not look at them (status 403).
    """
    return frozenset({caller.namespace_of(namespace)}) if namespace else caller.namespaces


def key_of(request: web.Request) -> TaskKey:
    """Read which task a path names; raises BadRequest where the caller may not look at it."""
    namespace, task_id = request.match_info["namespace"], request.match_info["task_id"]
    with about("namespace"):
        caller_of(request).namespace_of(namespace)
    with about("task_id"):
        return TaskKey(namespace, checked_id(task_id))


async def list_tasks(request: web.Request, asked: TaskListParameters) -> web.StreamResponse:
    """Answer with a page of tasks."""
    front = front_of(request)
    with about("namespace"):
        namespaces = asked_namespaces(caller_of(request), asked.namespace)
    with about("task_id"):
        glob = checked_glob(asked.task_id)
    with about("cursor"):
        after = place_of(asked.cursor)
    states = frozenset(State(name) for name in asked.state)
    since = moment("since", asked.since, front.clock.now_unix_ns())
    chosen = TaskSelection(namespaces, states, glob, since)
    async with in_time(front.bounds):
        entries = await front.tasks.tasks(chosen, after=after, limit=asked.limit)
    return await rendered(lambda: _page(entries, asked.limit))


def _page(entries: Sequence[TaskEntry], limit: int) -> dict[str, Any]:
    more = len(entries) == limit
    return {
        "tasks": [task_json(entry) for entry in entries],
        "next": cursor_of(Place.of(entries[-1].task)) if more else None,
    }


async def show_task(request: web.Request, asked: OneTaskParameters) -> web.StreamResponse:
    """Answer with one task and a page of its calls."""
    front, key = front_of(request), key_of(request)
    async with in_time(front.bounds):
        entry = await front.tasks.task(key)
        if entry is None:
            raise gone(key)
        records: Sequence[pb.StoredRecord] = ()
        if asked.limit:
            with about("cursor"):
                records = await front.tasks.records_of(key, cursor=asked.cursor, limit=asked.limit)
    return await rendered(lambda: _with_calls(entry, records, asked.limit))


def _with_calls(entry: TaskEntry, records: Sequence[pb.StoredRecord], limit: int) -> dict[str, Any]:
    shown = shown_fields([], bodies=False)
    more = len(records) == limit and bool(records)
    return {
        "task": task_json(entry, history=True),
        "records": [stored_json(stored, shown) for stored in records],
        "next": records[-1].cursor if more else None,
    }


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/tasks", "listTasks", "List tasks",
        parameters=TaskListParameters, handler=list_tasks, answer=json_of(TaskPageAnswer),
        act=Act.READ_TASKS,
    ),
    Operation(
        "GET", "/v1/tasks/{namespace}/{task_id}", "showTask",
        "Show one task with the receipts of its calls",
        parameters=OneTaskParameters, handler=show_task, answer=json_of(TaskWithCallsAnswer),
        problems=(404,), act=Act.READ_TASKS,
    ),
)  # fmt: skip
