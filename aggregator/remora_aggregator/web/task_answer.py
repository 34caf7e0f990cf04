"""The JSON of a task, and its schema. Pure."""

from typing import Any, Final

from pydantic import ConfigDict, Field

from remora.cli.moments import iso_utc
from remora_aggregator.tasks.amounts import Limit, usd_text
from remora_aggregator.tasks.states import Actor, Change
from remora_aggregator.tasks.task import TaskEntry
from remora_aggregator.tasks.totals import TaskTotals
from remora_aggregator.web.record_answer import Answer, RecordAnswer, moment, money


class TaskActorAnswer(Answer):
    """Who changed a task."""

    model_config = ConfigDict(title="TaskActor")

    kind: str = Field(
        description="`caller`: somebody asked for it; else the server concluded it: `call`, "
        "`quiet` or `budget`."
    )
    name: str | None


class TaskChangeAnswer(Answer):
    """One change of a task."""

    model_config = ConfigDict(title="TaskChange")

    at: str = moment("When it was.")
    before: str | None = Field(description="The state; null: the task was created.")
    after: str
    by: TaskActorAnswer
    reason: str | None


class TaskBudgetAnswer(Answer):
    """A task's own budget; null where it does not limit."""

    model_config = ConfigDict(title="TaskBudget")

    cost_usd: str | None = money("How much it may cost.")
    tokens: int | None


class TaskTotalsAnswer(Answer):
    """Sums over the recorded calls of a task."""

    model_config = ConfigDict(title="TaskTotals")

    calls: int
    errors: int
    refused_calls: int = Field(description="They count as errors, too.")
    cached_calls: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: str | None = money("Of the priced calls; null: there was none.")
    first_call_at: str | None = moment("When the first call began.")
    last_call_at: str | None = moment("When the call that ended last did so.")
    pod_uids: list[str]
    more_pods: bool = Field(description="Whether there are more than those.")


class TaskAnswer(Answer):
    """A task."""

    model_config = ConfigDict(title="Task")

    namespace: str
    task_id: str
    title: str | None
    state: str
    control: str = Field(
        description="What becomes of its calls: `open`, `paused`, `cancelled`, `budget_exceeded`."
    )
    cut_streams: bool
    by: TaskActorAnswer = Field(description="Who moved it to its state.")
    reason: str | None
    revision: int
    created_at: str = moment("When it was made known.")
    changed_at: str = moment("When it changed last, by something else than calls.")
    budget: TaskBudgetAnswer | None = Field(description="Its own, beside those of policies.")
    totals: TaskTotalsAnswer


class TaskWithHistoryAnswer(TaskAnswer):
    """A task with its last changes."""

    model_config = ConfigDict(title="TaskWithHistory")

    history: list[TaskChangeAnswer] = Field(description="Oldest first.")
    older_changes: int


class TaskPageAnswer(Answer):
    """Some tasks, those created last first."""

    model_config = ConfigDict(title="TaskPage")

    tasks: list[TaskAnswer]
    next: str | None = Field(description="Ask again with this as `cursor`; null: no more.")


class TaskWithCallsAnswer(Answer):
    """A task, and a page of its calls with their receipts, oldest first."""

    model_config = ConfigDict(title="TaskWithCalls")

    task: TaskWithHistoryAnswer
    records: list[RecordAnswer]
    next: str | None = Field(description="Ask again with this as `cursor`; null: no more.")


def task_json(entry: TaskEntry, *, history: bool = False) -> dict[str, Any]:
    """Show a task."""
    task = entry.task
    shown: dict[str, Any] = {
        "namespace": task.key.namespace,
        "task_id": task.key.task_id,
        "title": task.title or None,
        "state": task.state.value,
        "control": task.control.value,
        "cut_streams": task.cut_streams,
        "by": _actor(task.by),
        "reason": task.reason or None,
        "revision": task.revision,
        "created_at": iso_utc(task.created_unix_ns),
        "changed_at": iso_utc(task.changed_unix_ns),
        "budget": _budget(task.budget),
        "totals": _totals(entry.totals),
    }
    if history:
        shown["history"] = [_change(change) for change in task.history]
        shown["older_changes"] = task.older_changes
    return shown


def _actor(actor: Actor) -> dict[str, str | None]:
    return {"kind": actor.kind.value, "name": actor.name or None}


def _budget(budget: Limit) -> dict[str, str | int | None] | None:
    if budget.is_none:
        return None
    usd = None if budget.picousd is None else usd_text(budget.picousd)
    return {"cost_usd": usd, "tokens": budget.tokens}


_COUNTED: Final = (
    "calls", "errors", "refused_calls", "cached_calls", "unpriced_calls", "input_tokens",
    "output_tokens", "more_pods",
)  # fmt: skip


def _totals(totals: TaskTotals) -> dict[str, Any]:
    return {
        **{name: getattr(totals, name) for name in _COUNTED},
        "cost_usd": usd_text(totals.cost_picousd) if totals.priced_calls else None,
        "first_call_at": _moment(totals.first_call_unix_ns),
        "last_call_at": _moment(totals.last_call_unix_ns),
        "pod_uids": list(totals.pod_uids),
    }


def _moment(unix_ns: int) -> str | None:
    return iso_utc(unix_ns) if unix_ns else None


def _change(change: Change) -> dict[str, Any]:
    return {
        "at": iso_utc(change.at_unix_ns),
        "before": None if change.before is None else change.before.value,
        "after": change.after.value,
        "by": _actor(change.by),
        "reason": change.reason or None,
    }
