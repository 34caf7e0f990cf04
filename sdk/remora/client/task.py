"""Tasks as an aggregator tells of them. Values, and how they travel."""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from remora.wire_money import usd_of
from remora_proto.v1 import tasks_pb2 as pb


class TaskState(Enum):
    """Where a task stands; values are the wire numbers."""

    UNKNOWN = 0
    """Of a newer aggregator; of a change: there was no task before it."""
    PENDING = 1
    PLANNING = 2
    RUNNING = 3
    PAUSED = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7
    BUDGET_EXCEEDED = 8


class TaskControl(Enum):
    """What is to become of a task's next calls; values are the wire numbers."""

    UNKNOWN = 0
    OPEN = 1
    PAUSED = 2
    CANCELLED = 3
    BUDGET_EXCEEDED = 4


class ActorKind(Enum):
    """Who changes tasks; values are the wire numbers."""

    UNKNOWN = 0
    CALL = 1
    QUIET = 2
    BUDGET = 3
    CALLER = 4


@dataclass(frozen=True, slots=True)
class TaskBudget:
    """How much a task may use; None where it is not limited."""

    cost_usd: Decimal | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TaskChange:
    """One change of a task.

    Attributes:
        before: `TaskState.UNKNOWN`: it was created.
        kind: Who changed it.
        by: Of a caller: as the aggregator knows it.
    """

    at_unix_ns: int
    before: TaskState
    after: TaskState
    kind: ActorKind
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """Sums over the calls of a task that were recorded.

    Attributes:
        refused_calls: Those that Remora refused; they count as errors, too.
        unpriced_calls: Calls with usage but without a known price: the cost lacks theirs.
        cost_usd: Over the priced calls; None where no call was priced.
        first_call_unix_ns: 0: there was none yet.
        last_call_unix_ns: When the call that ended last did so.
        pod_uids: Of the pods that called; a bounded number of them.
        more_pods: There are more.
    """

    calls: int = 0
    errors: int = 0
    refused_calls: int = 0
    cached_calls: int = 0
    unpriced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    first_call_unix_ns: int = 0
    last_call_unix_ns: int = 0
    pod_uids: tuple[str, ...] = ()
    more_pods: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One run of an agent, on any number of pods.

    Attributes:
        cut_streams: Of a cancelled one: calls in flight are cut, too.
        revision: Grows with each change of the task, not with its calls.
        budget: Its own, beside those of policies; None: it has none.
        title: For people.
        history: Its last changes, oldest first; only where one task is asked for.
        older_changes: How many came before those.
    """

    namespace: str
    task_id: str
    state: TaskState
    control: TaskControl
    cut_streams: bool
    revision: int
    created_unix_ns: int
    changed_unix_ns: int
    budget: TaskBudget | None = None
    totals: TaskTotals = TaskTotals()
    title: str = ""
    history: tuple[TaskChange, ...] = ()
    older_changes: int = 0

    @property
    def stirred_unix_ns(self) -> int:
        """When it was changed or called last."""
        return max(self.changed_unix_ns, self.totals.last_call_unix_ns)

    @property
    def is_busy(self) -> bool:
        """Whether it is being worked on."""
        return self.state in (TaskState.PLANNING, TaskState.RUNNING)


def _one_of[E: Enum](kind: type[E], number: int) -> E:
    """Read an enum's number; one of a newer aggregator is unknown."""
    try:
        return kind(number)
    except ValueError:
        return kind(0)


def task_from_message(message: pb.Task) -> Task:
    """Read the wire form; raises `decimal.InvalidOperation` where money is no decimal."""
    return Task(
        namespace=message.namespace,
        task_id=message.task_id,
        state=_one_of(TaskState, message.state),
        control=_one_of(TaskControl, message.control),
        cut_streams=message.cut_streams,
        revision=message.revision,
        created_unix_ns=message.created_unix_nano,
        changed_unix_ns=message.changed_unix_nano,
        budget=budget_from_message(message.budget) if message.HasField("budget") else None,
        totals=_totals(message.totals),
        title=message.title,
        history=tuple(map(_change, message.history)),
        older_changes=message.older_changes,
    )


def budget_from_message(message: pb.BudgetAmount) -> TaskBudget:
    """Read the wire form of a budget."""
    return TaskBudget(
        usd_of(message.cost_usd) if message.HasField("cost_usd") else None,
        message.tokens if message.HasField("tokens") else None,
    )


def _change(message: pb.TaskChange) -> TaskChange:
    return TaskChange(
        message.at_unix_nano,
        _one_of(TaskState, message.from_state),
        _one_of(TaskState, message.to_state),
        _one_of(ActorKind, message.by.kind),
        message.by.name,
        message.reason,
    )


def _totals(message: pb.TaskTotals) -> TaskTotals:
    return TaskTotals(
        calls=message.calls,
        errors=message.errors,
        refused_calls=message.refused_calls,
        cached_calls=message.cached_calls,
        unpriced_calls=message.unpriced_calls,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        cost_usd=usd_of(message.cost_usd) if message.cost_usd else None,
        first_call_unix_ns=message.first_call_unix_nano,
        last_call_unix_ns=message.last_call_unix_nano,
        pod_uids=tuple(message.pod_uids),
        more_pods=message.more_pods,
    )


def budget_message(budget: TaskBudget) -> pb.BudgetAmount:
    """Make the wire form of a budget."""
    message = pb.BudgetAmount()
    if budget.cost_usd is not None:
        message.cost_usd = format(budget.cost_usd, "f")
    if budget.tokens is not None:
        message.tokens = budget.tokens
    return message
