"""Shared budgets as an aggregator tells of them. Values, and how they travel."""

from dataclasses import dataclass
from enum import Enum

from remora.client.task import TaskBudget, budget_from_message
from remora_proto.v1 import tasks_pb2 as pb


class BudgetPer(Enum):
    """What a shared budget is counted for; values are the wire numbers."""

    UNKNOWN = 0
    TASK = 1
    SESSION = 2
    AGENT = 3
    NAMESPACE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFilter:
    """Which shared budgets are asked for; what is empty does not filter.

    Attributes:
        namespace: Empty: all that the caller may see.
        budget_glob: Of names: ``*`` stands for any characters, ``?`` for one.
        key_glob: Of ids of tasks, sessions or agents.
        per: Counted for any of these.
        past: Windows that are over, too, as far as they are still kept.
    """

    namespace: str = ""
    budget_glob: str = ""
    key_glob: str = ""
    per: tuple[BudgetPer, ...] = ()
    past: bool = False


@dataclass(frozen=True, slots=True)
class SharedBudget:
    """A budget that the pods of a namespace draw on together, in one of its windows.

    Attributes:
        key: Id of the task, session or agent; empty for a namespace's.
        window_start_unix_ns: 0: it has no window.
        limit: As a sidecar's policy said it last; None: none has said it yet.
        spent: What it does not limit is None, and so of `leased`.
        leased: What sidecars may still spend by their leases, beyond `spent`.
        asked_unix_ns: When a sidecar asked for some of it last; 0: not known.
    """

    namespace: str
    budget: str
    per: BudgetPer
    key: str
    window_start_unix_ns: int
    window_ns: int
    limit: TaskBudget | None
    spent: TaskBudget
    leased: TaskBudget
    asked_unix_ns: int

    @property
    def resets_unix_ns(self) -> int | None:
        """When its window ends; None: it has none."""
        return self.window_start_unix_ns + self.window_ns if self.window_ns else None


def budget_filter_message(wanted: BudgetFilter) -> pb.BudgetFilter:
    """Write a filter."""
    message = pb.BudgetFilter(
        namespace=wanted.namespace,
        budget_glob=wanted.budget_glob,
        key_glob=wanted.key_glob,
        past=wanted.past,
    )
    message.per.extend(per.value for per in wanted.per)  # type: ignore[misc]  # the enum's wire number
    return message


def shared_budget_from_message(message: pb.SharedBudget) -> SharedBudget:
    """Read a shared budget."""
    known = message.per in {per.value for per in BudgetPer}
    return SharedBudget(
        message.namespace,
        message.budget,
        BudgetPer(message.per) if known else BudgetPer.UNKNOWN,
        message.key,
        message.window_start_unix_nano,
        message.window_ns,
        budget_from_message(message.limit) if message.HasField("limit") else None,
        budget_from_message(message.spent),
        budget_from_message(message.leased),
        message.asked_unix_nano,
    )
