"""Executions of workflows in the store's tables, written within its transactions."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from remora.execution_report import ExecutionStatus
from remora.execution_wire import status_of
from remora_aggregator.store.facts import Value, column_text
from remora_aggregator.store.port import Row, Writing
from remora_aggregator.store.sql import Statement
from remora_aggregator.store.task_tables import TaskTables
from remora_aggregator.tasks.execution_moves import Told, after_execution
from remora_aggregator.tasks.lifecycle import Asking
from remora_aggregator.tasks.states import Actor, ActorKind, State
from remora_aggregator.tasks.task import TaskEntry, TaskKey
from remora_proto.v1 import workflows_pb2 as pb

_COLUMNS: Final = (
    "namespace", "execution_id", "position", "revision", "pod_uid", "began_unix_ns",
    "received_unix_ns", "status", "workflow", "task_id", "session_id", "agent_id", "head", "steps",
)  # fmt: skip
_PUT: Final = (
    f"insert into executions ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - our own words
    "on conflict (namespace, execution_id) do update set "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[2:])
)
_KNOWN: Final = "select revision, pod_uid from executions where namespace = ? and execution_id = ?"
_NEXT: Final = "update execution_positions set last = last + 1 returning last"

_STATES: Final = {
    ExecutionStatus.RUNNING: State.RUNNING,
    ExecutionStatus.PAUSED: State.RUNNING,
    ExecutionStatus.COMPLETED: State.COMPLETED,
    ExecutionStatus.FAILED: State.FAILED,
    ExecutionStatus.CANCELLED: State.CANCELLED,
    ExecutionStatus.BUDGET_EXCEEDED: State.BUDGET_EXCEEDED,
}
"""What an execution's status makes of its task. Its pause is its own: a task that is paused is
paused by whoever asked for that."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who reports executions, as the server stamps it.

    Attributes:
        name: By which the server knows it; the history of tasks says it.
        pod_name: As it says itself, for people.
        workload: As it says itself, for people.
    """

    namespace: str
    pod_uid: str
    name: str = ""
    pod_name: str = ""
    workload: str = ""


class Taken(Enum):
    """What became of a report."""

    NEW = "new"
    KNOWN = "known"
    """It says nothing new: as much or more is known."""
    CLASHES = "clashes"
    """The execution is another pod's."""


class ExecutionTables:
    """Reads and writes them in one transaction."""

    def __init__(self, writing: Writing, mark: str) -> None:
        """Take the transaction, and what stands for a parameter in its SQL."""
        self._writing = writing
        self._mark = mark
        self._tasks = TaskTables(writing, mark)

    def _run(self, sql: str, *parameters: Value) -> Sequence[Row]:
        return self._writing.run(Statement(sql.replace("?", self._mark), parameters))

    def take(self, report: pb.ExecutionReport, sender: Sender, now_unix_ns: int) -> Taken:
        """Keep a report that says something new, and move the task that is there for it."""
        rows = self._run(_KNOWN, sender.namespace, report.execution_id)
        if rows:
            revision, pod_uid = rows[0]
            if pod_uid != sender.pod_uid:
                return Taken.CLASHES
            if report.revision <= int(revision or 0):
                return Taken.KNOWN
        self._put(report, sender, now_unix_ns)
        if report.owns_task:
            self._move_task(report, sender, now_unix_ns)
        return Taken.NEW

    def _put(self, report: pb.ExecutionReport, sender: Sender, now_unix_ns: int) -> None:
        ((position,),) = self._run(_NEXT)
        head, steps = _halves(report, sender, now_unix_ns)
        self._run(
            _PUT, sender.namespace, report.execution_id, position, report.revision, sender.pod_uid,
            report.began_unix_nano, now_unix_ns, status_of(report.status).value,
            column_text(report.workflow), column_text(report.task_id) or None,
            column_text(report.session_id) or None, column_text(report.agent_id) or None,
            head, steps,
        )  # fmt: skip

    def _move_task(self, report: pb.ExecutionReport, sender: Sender, now_unix_ns: int) -> None:
        state = _STATES.get(status_of(report.status))
        if state is None:
            return
        key = TaskKey(sender.namespace, report.task_id)
        before = self._tasks.task(key)
        entry = None if before is None else before.entry
        asking = Asking(Actor(ActorKind.CALLER, sender.name), _reason(report), now_unix_ns)
        task = after_execution(entry, Told(key, state, report.workflow), asking)
        if entry is None:
            self._tasks.put_task(key, TaskEntry(task), None)
        elif task is not entry.task:
            self._tasks.put_task(key, TaskEntry(task, entry.totals), before)


def _reason(report: pb.ExecutionReport) -> str:
    status = status_of(report.status)
    what = f"its workflow {report.workflow!r} "
    if not status.is_over:
        return what + "runs"
    code = f" ({report.error_code})" if report.error_code else ""
    ends = {
        ExecutionStatus.COMPLETED: "completed",
        ExecutionStatus.FAILED: "failed",
        ExecutionStatus.CANCELLED: "was cancelled",
        ExecutionStatus.BUDGET_EXCEEDED: "used up a budget",
    }
    return what + ends[status] + code


def _halves(report: pb.ExecutionReport, sender: Sender, now_unix_ns: int) -> tuple[bytes, bytes]:
    """Write what is stored, without its steps and those alone."""
    head = pb.StoredExecution(
        report=report,
        step_counts=_counts(report),
        namespace=sender.namespace,
        pod_uid=sender.pod_uid,
        pod_name=sender.pod_name,
        workload=sender.workload,
        received_unix_nano=now_unix_ns,
    )
    head.report.ClearField("steps")
    steps = pb.StoredExecution(report=pb.ExecutionReport(steps=report.steps))
    return head.SerializeToString(), steps.SerializeToString()


_UNDER_WAY: Final = (pb.STEP_STATUS_WAITING, pb.STEP_STATUS_RUNNING)


def _counts(report: pb.ExecutionReport) -> pb.StepCounts:
    states = [step.status for step in report.steps]
    return pb.StepCounts(
        steps=len(states),
        ended=sum(state not in _UNDER_WAY for state in states),
        failed=states.count(pb.STEP_STATUS_FAILED),
        running=states.count(pb.STEP_STATUS_RUNNING),
    )
