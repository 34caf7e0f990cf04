"""Tasks, accounts and leases in the store's tables, read and written within its transactions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from remora_aggregator.store.facts import Value
from remora_aggregator.store.port import Row, Writing
from remora_aggregator.store.sql import Statement
from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit
from remora_aggregator.tasks.conclusions import after_call
from remora_aggregator.tasks.leases import AccountKey, Book, Lease, LeaseKey
from remora_aggregator.tasks.ports import Wanted
from remora_aggregator.tasks.states import Control, State
from remora_aggregator.tasks.task import TaskEntry, TaskKey, changes_control
from remora_aggregator.tasks.totals import TaskCall

_ENTRY: Final = TypeAdapter(TaskEntry)
_BUSY: Final = (State.PLANNING, State.RUNNING)
_ACCOUNT: Final = AccountKey._fields
_AMOUNTS: Final = ("spent_picousd", "spent_tokens", "granted_picousd", "granted_tokens")
_SAID: Final = ("limit_picousd", "limit_tokens", "asked_unix_ns")
_LEASE: Final = (*LeaseKey._fields, *_AMOUNTS, "number", "ends_unix_ns")

TASK_COLUMNS: Final = "position, control_position, entry"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as it is stored.

    Attributes:
        position: Of its last change, among those of all tasks.
        control_position: Of the last change that sidecars have to hear of; 0: none yet.
    """

    position: int
    control_position: int
    entry: TaskEntry


def row_of(row: Row) -> TaskRow:
    """Read `TASK_COLUMNS`."""
    position, control_position, entry = row
    return TaskRow(
        int(position or 0),
        int(control_position or 0),
        _ENTRY.validate_json(bytes(entry)),  # type: ignore[arg-type]  # as above
    )


@dataclass(frozen=True, slots=True)
class CountedCall:
    """A call that its task counts.

    Attributes:
        instead_of: What was known of it before, where it was revised.
    """

    key: TaskKey
    call: TaskCall
    received_unix_ns: int
    instead_of: TaskCall | None = None


class TaskTables:
    """Reads and writes them in one transaction."""

    def __init__(self, writing: Writing, mark: str) -> None:
        """Take the transaction, and what stands for a parameter in its SQL."""
        self._writing = writing
        self._mark = mark

    def _run(self, sql: str, *parameters: Value) -> Sequence[Row]:
        return self._writing.run(Statement(sql.replace("?", self._mark), parameters))

    # Tasks.

    def task(self, key: TaskKey) -> TaskRow | None:
        """Read one task."""
        sql = f"select {TASK_COLUMNS} from tasks where namespace = ? and task_id = ?"  # noqa: S608 - our own words
        rows = self._run(sql, *key)
        return row_of(rows[0]) if rows else None

    def put_task(self, key: TaskKey, entry: TaskEntry, before: TaskRow | None) -> None:
        """Write a task; a change of it takes a new position, what its calls sum up to does not."""
        task = entry.task
        known = None if before is None else before.entry.task
        position, control_position = (
            (0, 0) if before is None else (before.position, before.control_position)
        )
        if task is not known:
            ((position,),) = self._run("update task_positions set last = last + 1 returning last")  # type: ignore[assignment]  # a number
            control_position = position if changes_control(known, task) else control_position
        quiet = "busy" if task.state in _BUSY else "paused" if task.is_paused_by_quiet else None
        control = None if task.control is Control.OPEN else task.control.value
        self._run(
            _put("tasks", ("namespace", "task_id"), (
                "position", "control_position", "created_unix_ns", "stirred_unix_ns", "state",
                "quiet", "control", "entry",
            )),
            *key, position, control_position, task.created_unix_ns, entry.stirred_unix_ns,
            task.state.value, quiet, control, _ENTRY.dump_json(entry),
        )  # fmt: skip

    def delete_tasks(
        self, namespace: str, task_id: str, stirred_before_unix_ns: int, *, limit: int
    ) -> int:
        """Delete tasks that are meant as by `meant_tasks`, so many at most; returns how many."""
        meant, parameters = meant_tasks(namespace, task_id, stirred_before_unix_ns)
        gone = self._run(
            "delete from tasks where (namespace, task_id) in "  # noqa: S608 - our own words
            f"(select namespace, task_id from tasks where {meant} limit ?) returning 1",
            *parameters, limit,
        )  # fmt: skip
        return len(gone)

    def count(self, calls: Iterable[CountedCall]) -> None:
        """Have tasks count calls; a task that nobody knew begins with its first."""
        before: dict[TaskKey, TaskRow | None] = {}
        after: dict[TaskKey, TaskEntry] = {}
        for counted in calls:
            key = counted.key
            if key not in before:
                before[key] = row = self.task(key)
                entry = None if row is None else row.entry
            else:
                entry = after[key]
            after[key] = after_call(
                entry, key, counted.call, counted.received_unix_ns, instead_of=counted.instead_of
            )
        for key, entry in after.items():
            self.put_task(key, entry, before[key])

    # Accounts and leases.

    def books(self, wanted: Wanted, now_unix_ns: int) -> dict[AccountKey, Book]:
        """Read accounts, with the leases that are wanted and those that ended with a grant."""
        found = {}
        for key, leases in wanted.items():
            columns = ", ".join((*_AMOUNTS, *_SAID))
            rows = self._run(f"select {columns} from accounts where {_is_account()}", *key)  # noqa: S608 - as above
            if rows:
                spent, granted = _amounts(rows[0][: len(_AMOUNTS)])
                known = self._leases(key, leases, now_unix_ns)
                found[key] = Book(key, spent, granted, known, *_said(rows[0][len(_AMOUNTS) :]))
        return found

    def _leases(
        self, key: AccountKey, wanted: Iterable[LeaseKey], now_unix_ns: int
    ) -> Mapping[LeaseKey, Lease]:
        columns = f"select {', '.join(_LEASE)} from leases where {_is_account()}"  # noqa: S608 - as above
        ended = f"{columns} and has_grant = 1 and ends_unix_ns <= ?"
        found = dict(map(_lease, self._run(ended, *key, now_unix_ns)))
        for lease in wanted:
            one = f"{columns} and sender = ? and lease_id = ?"
            found |= dict(map(_lease, self._run(one, *key, *lease)))
        return found

    def put_books(self, books: Mapping[AccountKey, Book]) -> None:
        """Write accounts, and the leases that their books have."""
        for key, book in books.items():
            limit = book.limit
            self._run(
                _put("accounts", _ACCOUNT, (*_AMOUNTS, *_SAID)), *key, *_written(book),
                None if limit.picousd is None else str(limit.picousd), limit.tokens,
                book.asked_unix_ns,
            )  # fmt: skip
            for name, lease in book.leases.items():
                has_grant = int(lease.granted != NOTHING)
                self._run(
                    _put("leases", (*_ACCOUNT, *LeaseKey._fields),
                         (*_AMOUNTS, "number", "ends_unix_ns", "has_grant")),
                    *key, *name, *_written(lease), lease.number, lease.ends_unix_ns, has_grant,
                )  # fmt: skip

    def forget_leases(self, ended_before_unix_ns: int) -> int:
        """Forget leases that ended long ago, and accounts of windows that did and have none."""
        gone = self._run(
            "delete from leases where has_grant = 0 and ends_unix_ns < ? returning 1",
            ended_before_unix_ns,
        )
        same = " and ".join(f"leases.{name} = accounts.{name}" for name in _ACCOUNT)
        self._run(
            "delete from accounts where window_ns > 0 and window_start_unix_ns + window_ns < ? "  # noqa: S608 - as above
            f"and not exists (select 1 from leases where {same})",
            ended_before_unix_ns,
        )
        return len(gone)


def meant_tasks(
    namespace: str, task_id: str, stirred_before_unix_ns: int
) -> tuple[str, tuple[Value, ...]]:
    """Write which tasks of a namespace are meant, each parameter as ``?``, and the parameters.

    Args:
        namespace: Theirs.
        task_id: Only this one; empty: all.
        stirred_before_unix_ns: Only those that were changed or called before; 0: whenever.
    """
    conditions: list[str] = ["namespace = ?"]
    parameters: list[Value] = [namespace]
    if task_id:
        conditions.append("task_id = ?")
        parameters.append(task_id)
    if stirred_before_unix_ns:
        conditions.append("stirred_unix_ns < ?")
        parameters.append(stirred_before_unix_ns)
    return " and ".join(conditions), tuple(parameters)


def _put(table: str, keys: Sequence[str], rest: Sequence[str]) -> str:
    columns = (*keys, *rest)
    changed = ", ".join(f"{column} = excluded.{column}" for column in rest)
    return (
        f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))}) "  # noqa: S608 - as above
        f"on conflict ({', '.join(keys)}) do update set {changed}"
    )


def _is_account() -> str:
    return " and ".join(f"{name} = ?" for name in _ACCOUNT)


def _amounts(row: Sequence[Any]) -> tuple[Amount, Amount]:
    spent_picousd, spent_tokens, granted_picousd, granted_tokens = map(int, row)
    return Amount(spent_picousd, spent_tokens), Amount(granted_picousd, granted_tokens)


def _written(one: Book | Lease) -> tuple[str, int, str, int]:
    spent, granted = one.spent, one.granted
    return str(spent.picousd), spent.tokens, str(granted.picousd), granted.tokens


def _said(row: Sequence[Any]) -> tuple[Limit, int]:
    picousd, tokens, asked_unix_ns = row
    return Limit(None if picousd is None else int(picousd), tokens), int(asked_unix_ns)


def _lease(row: Row) -> tuple[LeaseKey, Lease]:
    sender, lease_id, *amounts = row
    spent, granted = _amounts(amounts[:4])
    number, ends = amounts[4:]
    return LeaseKey(str(sender), str(lease_id)), Lease(granted, spent, int(number), int(ends))  # type: ignore[arg-type]  # as the columns say
