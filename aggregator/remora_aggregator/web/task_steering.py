"""What is asked of tasks: ``POST /v1/tasks/{namespace}/{task_id}/cancel``, ``pause``, ``resume``.

The same decisions as TaskService's, by the same permissions, in the same audit log.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from remora_aggregator.service.caller import Caller, Role
from remora_aggregator.service.permissions import Act
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.lifecycle import Asking
from remora_aggregator.tasks.states import Actor, ActorKind, State
from remora_aggregator.tasks.task import (
    MAX_REASON_CHARS,
    Task,
    TaskEntry,
    TaskKey,
    begun,
    gone,
)
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.audited import audited
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import NoParameters
from remora_aggregator.web.request_body import body_of
from remora_aggregator.web.task_answer import TaskWithHistoryAnswer, task_json
from remora_aggregator.web.tasks import key_of


class ResumeRequest(BaseModel):
    """Why a task goes on."""

    model_config = ConfigDict(extra="forbid", title="ResumeTask")

    reason: str = Field(default="", max_length=MAX_REASON_CHARS, description="For people.")


class PauseRequest(ResumeRequest):
    """Why a task is paused."""

    model_config = ConfigDict(extra="forbid", title="PauseTask")

    create: bool = Field(
        default=False,
        description="Make the task known, if nobody called for it yet: its first call is refused.",
    )


class CancelRequest(PauseRequest):
    """Why a task is cancelled, and how."""

    model_config = ConfigDict(extra="forbid", title="CancelTask")

    cut_streams: bool = Field(default=False, description="Cut calls in flight, too.")


type Ask = Callable[[TaskEntry, Asking], Task]


async def cancel(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Refuse a task's calls for good."""
    del asked
    body = await body_of(request, CancelRequest)

    def ask(entry: TaskEntry, asking: Asking) -> Task:
        return lifecycle.cancelled(entry.task, asking, cut_streams=body.cut_streams)

    return await _changed(request, "Cancel", Act.STEER_TASKS, body, ask)


async def pause(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Refuse a task's calls until it is resumed."""
    del asked
    body = await body_of(request, PauseRequest)
    return await _changed(
        request, "Pause", Act.STEER_TASKS, body,
        lambda entry, asking: lifecycle.paused(entry.task, asking),
    )  # fmt: skip


async def resume(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Let a paused task go on."""
    del asked
    body = await body_of(request, ResumeRequest)
    return await _changed(request, "Resume", Act.RESUME_TASKS, body, lifecycle.resumed)


async def _changed(
    request: web.Request, what: str, act: Act, body: ResumeRequest, ask: Ask
) -> web.StreamResponse:
    front, caller, key = front_of(request), caller_of(request), key_of(request)
    create = isinstance(body, PauseRequest) and body.create

    def decide(entry: TaskEntry | None, now_unix_ns: int) -> Task:
        asking = Asking(Actor(ActorKind.CALLER, caller.name), body.reason, now_unix_ns)
        return ask(entry or _unknown(key, asking, create=create), asking)

    asked = {"namespace": key.namespace, "task_id": key.task_id, **body.model_dump()}
    async with _audited(request, caller, f"TaskService/{what}", act, asked):
        caller.must(act)
        async with in_time(front.bounds):
            entry = await front.tasks.change_task(key, decide)
    return json_answer(task_json(entry, history=True))


def _unknown(key: TaskKey, asking: Asking, *, create: bool) -> TaskEntry:
    if not create:
        raise gone(key)
    return TaskEntry(begun(key, State.PENDING, asking.by, asking.reason, asking.now_unix_ns))


def _audited(
    request: web.Request, caller: Caller, what: str, act: Act, asked: dict[str, Any]
) -> AbstractAsyncContextManager[None]:
    """Write it down; but not what a sidecar asks for its own tasks."""
    if caller.role is Role.REPORTER and act is Act.STEER_TASKS:
        return nullcontext()
    return audited(request, what, asked)


def _operation(word: str, summary: str, body: type[BaseModel], handler: Any) -> Operation[Any]:
    # Who may not is refused by the handler, so that the attempt is in the audit log.
    return Operation(
        "POST", f"/v1/tasks/{{namespace}}/{{task_id}}/{word}", f"{word}Task", summary,
        parameters=NoParameters, handler=handler, answer=json_of(TaskWithHistoryAnswer),
        body=body, problems=(404, 408, 409, 413, 415), act=Act.READ_TASKS,
    )  # fmt: skip


OPERATIONS: Final = (
    _operation("cancel", "Refuse a task's calls for good", CancelRequest, cancel),
    _operation("pause", "Refuse a task's calls until it is resumed", PauseRequest, pause),
    _operation("resume", "Let a paused task go on", ResumeRequest, resume),
)
