"""Tasks as they travel. Pure."""

from collections.abc import Mapping

from remora.errors import BadRequest
from remora_aggregator.service.lease_wire import CONTROLS, amount_of, limit_of
from remora_aggregator.tasks.amounts import Amount, Limit, usd_text
from remora_aggregator.tasks.selection import TaskSelection, checked_glob
from remora_aggregator.tasks.states import Actor, ActorKind, Change, Control, State
from remora_aggregator.tasks.task import Task, TaskEntry
from remora_aggregator.tasks.totals import TaskTotals
from remora_proto.v1 import tasks_pb2 as pb

STATES: Mapping[State, pb.TaskState.ValueType] = {
    State.PENDING: pb.TASK_STATE_PENDING,
    State.PLANNING: pb.TASK_STATE_PLANNING,
    State.RUNNING: pb.TASK_STATE_RUNNING,
    State.PAUSED: pb.TASK_STATE_PAUSED,
    State.COMPLETED: pb.TASK_STATE_COMPLETED,
    State.FAILED: pb.TASK_STATE_FAILED,
    State.CANCELLED: pb.TASK_STATE_CANCELLED,
    State.BUDGET_EXCEEDED: pb.TASK_STATE_BUDGET_EXCEEDED,
}
_READ: Mapping[int, State] = {number: state for state, number in STATES.items()}

_KINDS = {
    ActorKind.CALL: pb.TaskActor.KIND_CALL,
    ActorKind.QUIET: pb.TaskActor.KIND_QUIET,
    ActorKind.BUDGET: pb.TaskActor.KIND_BUDGET,
    ActorKind.CALLER: pb.TaskActor.KIND_CALLER,
}


def state_of(number: int) -> State | None:
    """Read a state; None if none is given. Raises BadRequest where it is unknown."""
    if number == pb.TASK_STATE_UNSPECIFIED:
        return None
    if (state := _READ.get(number)) is None:
        raise BadRequest(f"state {number} is none that this aggregator knows")
    return state


def budget_of(message: pb.BudgetAmount) -> Limit:
    """Read a task's budget; raises BadRequest where it is none."""
    try:
        return limit_of(message, "budget")
    except ValueError as error:
        raise BadRequest(str(error)) from None


def selection_of(wanted: pb.TaskFilter, namespaces: frozenset[str] | None) -> TaskSelection:
    """Read a filter for a caller that may see these namespaces.

    Raises:
        BadRequest: It asks for what can't be.
    """
    return TaskSelection(
        namespaces=frozenset({wanted.namespace}) if wanted.namespace else namespaces,
        states=frozenset(state for number in wanted.states if (state := state_of(number))),
        id_glob=checked_glob(wanted.task_id_glob),
        since_unix_ns=min(wanted.since_unix_nano, (1 << 63) - 1),
    )


def written(entry: TaskEntry, *, history: bool = False) -> pb.Task:
    """Write a task."""
    task = entry.task
    message = pb.Task(
        namespace=task.key.namespace,
        task_id=task.key.task_id,
        state=STATES[task.state],
        control=CONTROLS[task.control],
        cut_streams=task.cut_streams,
        revision=task.revision,
        created_unix_nano=task.created_unix_ns,
        changed_unix_nano=task.changed_unix_ns,
        totals=_totals(entry.totals),
        title=task.title,
        older_changes=task.older_changes,
    )
    if not task.budget.is_none:
        whole = Amount(task.budget.picousd or 0, task.budget.tokens or 0)
        message.budget.CopyFrom(amount_of(whole, task.budget))
    if history:
        message.history.extend(map(_change, task.history))
    return message


def control_of(task: Task) -> pb.TaskControlChange:
    """Write what is to become of a task's calls."""
    is_open = task.control is Control.OPEN
    return pb.TaskControlChange(
        task_id=task.key.task_id,
        control=CONTROLS[task.control],
        revision=task.revision,
        cut_streams=task.cut_streams,
        by="" if is_open else task.by.name,
        reason="" if is_open else task.reason,
    )


def _change(change: Change) -> pb.TaskChange:
    before = change.before
    return pb.TaskChange(
        at_unix_nano=change.at_unix_ns,
        from_state=pb.TASK_STATE_UNSPECIFIED if before is None else STATES[before],
        to_state=STATES[change.after],
        by=_actor(change.by),
        reason=change.reason,
    )


def _actor(actor: Actor) -> pb.TaskActor:
    return pb.TaskActor(kind=_KINDS[actor.kind], name=actor.name)


def _totals(totals: TaskTotals) -> pb.TaskTotals:
    return pb.TaskTotals(
        calls=totals.calls,
        errors=totals.errors,
        refused_calls=totals.refused_calls,
        cached_calls=totals.cached_calls,
        unpriced_calls=totals.unpriced_calls,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cost_usd=usd_text(totals.cost_picousd) if totals.priced_calls else "",
        first_call_unix_nano=totals.first_call_unix_ns,
        last_call_unix_nano=totals.last_call_unix_ns,
        pod_uids=totals.pod_uids,
        more_pods=totals.more_pods,
    )
