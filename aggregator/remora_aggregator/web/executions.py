"""The resource ``/v1/executions``: pages of executions of workflows, and one with its steps."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from remora_aggregator.service.execution_service import next_cursor
from remora_aggregator.service.execution_wire import (
    STATUS_NAMES,
    checked_execution_id,
    no_execution,
)
from remora_aggregator.service.permissions import Act
from remora_aggregator.store.execution_selection import ExecutionSelection, place_of
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.execution_answer import (
    ExecutionPageAnswer,
    ExecutionWithStepsAnswer,
    execution_json,
)
from remora_aggregator.web.execution_parameters import ExecutionListParameters
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import NoParameters
from remora_aggregator.web.question import about, moment
from remora_aggregator.web.tasks import asked_namespaces
from remora_proto.v1 import workflows_pb2 as pb


async def list_executions(
    request: web.Request, asked: ExecutionListParameters
) -> web.StreamResponse:
    """Answer with a page of executions."""
    front = front_of(request)
    with about("namespace"):
        namespaces = asked_namespaces(caller_of(request), asked.namespace)
    with about("cursor"):
        after = place_of(asked.cursor)
    chosen = ExecutionSelection(
        namespaces=namespaces,
        statuses=frozenset(STATUS_NAMES[name] for name in asked.status),
        workflow=asked.workflow,
        task_id=asked.task_id,
        session_id=asked.session_id,
        agent_id=asked.agent_id,
        since_unix_ns=moment("since", asked.since, front.clock.now_unix_ns()),
    )
    async with in_time(front.bounds):
        found = await front.executions.executions(chosen, after=after, limit=asked.limit)
    return await rendered(lambda: _page(found, asked.limit))


def _page(found: Sequence[pb.StoredExecution], limit: int) -> dict[str, Any]:
    return {
        "executions": [execution_json(one) for one in found],
        "next": next_cursor(found) if len(found) == limit else None,
    }


async def show_execution(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Answer with one execution."""
    del asked
    front = front_of(request)
    namespace = request.match_info["namespace"]
    with about("namespace"):
        caller_of(request).namespace_of(namespace)
    with about("execution_id"):
        execution_id = checked_execution_id(request.match_info["execution_id"])
    async with in_time(front.bounds):
        stored = await front.executions.execution(namespace, execution_id)
    if stored is None:
        raise no_execution(namespace, execution_id)
    return await rendered(lambda: execution_json(stored, steps=True))


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/executions", "listExecutions", "List executions of workflows",
        parameters=ExecutionListParameters, handler=list_executions,
        answer=json_of(ExecutionPageAnswer), act=Act.READ_EXECUTIONS,
    ),
    Operation(
        "GET", "/v1/executions/{namespace}/{execution_id}", "showExecution",
        "Show one execution with its steps",
        parameters=NoParameters, handler=show_execution,
        answer=json_of(ExecutionWithStepsAnswer), problems=(404,), act=Act.READ_EXECUTIONS,
    ),
)  # fmt: skip
