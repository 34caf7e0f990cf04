"""What tasks and leases need of a store.

Decisions are pure functions (`leases`, `lifecycle`, `conclusions`). A store reads what such a
function looks at, calls it and writes what it gives back, all in one transaction. The contract:

- *One at a time.* For one account, and for one task, each function sees what the one before it
  left. SQLite's one writer has that for nothing: it runs the functions of all waiting callers one
  after the other in one transaction and commits once (group commit). On PostgreSQL rows are locked
  (`select … for update`) in the order of their keys, so that two replicas never wait for each other
  in a ring; a row that is not there yet is inserted first (`on conflict do nothing`), then locked.
- *Perhaps more than once.* After a failed serialisation or a lost connection the function is called
  again, with what is there then. So it does nothing but decide. Where it raises (`BadRequest`)
  nothing is written, and the error goes to its caller alone, not to those whose functions ran in
  the same commit.
- *After the commit.* Methods that write return when what they wrote is durable. Where that can't be
  known they raise `Unavailable`, and it may be there or not: every caller can ask again.
- *Whose clock.* The store gives functions the time. On PostgreSQL that is the database's
  (`clock_timestamp()`), so that leases end at one time for all replicas; with SQLite the machine's.
- *Sums.* Picodollars go up to `amounts.MAX_PICOUSD` (10^24), past 64 bits: `numeric` in PostgreSQL,
  text in SQLite, where nobody sums them in SQL. Tokens and times fit 63 bits.
- *The order of changes.* Each write that changes a task's `revision` takes a new position, after
  all that were committed before it, as records do; `control_position` beside it is that of the last
  change for which `changes_control` holds. What calls sum up to does not take one. A follower never
  sees a position after which a lower one can still appear.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from remora_aggregator.tasks.budgets import BudgetPage, BudgetSelection
from remora_aggregator.tasks.leases import AccountKey, Book, LeaseKey
from remora_aggregator.tasks.selection import Place, TaskSelection
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey
from remora_proto.v1 import records_pb2 as pb

type Wanted = Mapping[AccountKey, set[LeaseKey]]

type DecideBooks[R] = Callable[
    [Mapping[AccountKey, Book], int], tuple[Mapping[AccountKey, Book], R]
]
"""Takes the books that were wanted and the time; gives those that changed, and a result.

Of an account that nobody knows there is no book. A book has the leases that were wanted, as far as
there are such, and every lease of the account that has ended and is still granted something: so a
store needs an index of (account, end) over leases with a grant. Leases that a changed book has are
written, others stay.
"""

type DecideTask = Callable[[TaskEntry | None, int], Task]
"""Takes a task (None: nobody knows it) and the time; gives the task as it shall be.

The same object back: nothing is written.
"""


@dataclass(frozen=True, slots=True)
class ChangedTask:
    """A task as it is now, after a change.

    Attributes:
        changes_control: Its control changed since the position that was asked from.
        cursor: After this change and all before it.
    """

    entry: TaskEntry
    changes_control: bool
    cursor: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after a cursor, oldest first, each task once; and the cursor after it."""

    tasks: Sequence[ChangedTask]
    cursor: str


class TaskStore(Protocol):
    """Keeps tasks, accounts and leases.

    It also counts calls, which is no method here: the transaction that stores a record of a call
    that names a task applies `conclusions.after_call`, with `instead_of` where it revises a record.
    """

    async def change_books[R](self, wanted: Wanted, decide: DecideBooks[R]) -> R:
        """Decide about accounts in one transaction; see `DecideBooks`."""
        ...

    async def forget_leases(self, ended_before_unix_ns: int) -> int:
        """Forget leases that ended before a time, and accounts of windows that did and have none.

        What is reported of a forgotten lease is charged from the beginning: the time should lie
        days back. The store's own retention asks for it; returns how many leases went.
        """
        ...

    async def budgets(
        self, chosen: BudgetSelection, *, after: AccountKey | None, limit: int
    ) -> BudgetPage:
        """Read shared budgets in the order of their keys, from behind one on.

        A page may hold fewer than asked for and not be the last.
        """
        ...

    async def task(self, key: TaskKey) -> TaskEntry | None:
        """Read one task."""
        ...

    async def known_tasks(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Task]:
        """Read those of these tasks that there are, at once; called with every lease request."""
        ...

    async def change_task(self, key: TaskKey, decide: DecideTask) -> TaskEntry:
        """Decide about one task in one transaction; see `DecideTask`."""
        ...

    async def tasks(
        self, selection: TaskSelection, *, after: Place | None, limit: int
    ) -> Sequence[TaskEntry]:
        """Read tasks in the order of `Place`, downwards, from below a place on."""
        ...

    async def quiet_tasks(
        self, before_unix_ns: int, *, paused: bool, limit: int
    ) -> Sequence[TaskKey]:
        """Find tasks that were stirred (`TaskEntry.stirred_unix_ns`) last before a time.

        Args:
            before_unix_ns: The time.
            paused: Those that are `is_paused_by_quiet`; else those planning or running.
            limit: At most so many, any of them.
        """
        ...

    async def held_tasks(self, namespace: str, *, limit: int) -> Changes:
        """Read the tasks whose control is not open, those that changed last if there are more.

        The cursor of the whole is from before they were read, so that nothing between is missed;
        those of the tasks mean nothing.
        """
        ...

    async def last_cursor(self) -> str:
        """Give the cursor after all that is committed."""
        ...

    async def changes(
        self, after: str, *, namespaces: frozenset[str] | None, controls_only: bool, limit: int
    ) -> Changes:
        """Read what changed after a cursor.

        Raises:
            BadRequest: The cursor is none of this store's.
        """
        ...

    async def changed(self, after: str) -> None:
        """Wait until something changed after a cursor, in any replica (LISTEN/NOTIFY)."""
        ...


class TaskRecords(Protocol):
    """Gives the records of a task's calls."""

    async def records_of(
        self, key: TaskKey, *, cursor: str, limit: int
    ) -> Sequence[pb.StoredRecord]:
        """Read records without bodies, oldest first, after a cursor that a record before had.

        Raises:
            BadRequest: The cursor is none of this store's.
        """
        ...
