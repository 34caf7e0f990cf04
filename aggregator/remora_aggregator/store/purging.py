"""What somebody wants gone: counted first, then taken away slice by slice, while others report."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from remora_aggregator.store import removal
from remora_aggregator.store.execution_purging import purge_executions
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_purging import purge_learning
from remora_aggregator.store.port import Backend, Row
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import SLICE_RECORDS
from remora_aggregator.store.selection import Selection, selection
from remora_aggregator.store.sql import Statement, where
from remora_aggregator.store.task_tables import TaskTables, meant_tasks
from remora_proto.v1 import records_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """What is to go: all of a namespace that fits.

    Attributes:
        session_id: Only records of this session.
        task_id: Only records of this task, and the task; not together with `session_id`.
        before_unix_ns: Only records of calls that began before, and tasks that nobody changed or
            called since; 0: whenever.
    """

    namespace: str
    session_id: str = ""
    task_id: str = ""
    before_unix_ns: int = 0

    @property
    def chosen(self) -> Selection:
        """The records that are meant."""
        wanted = pb.RecordFilter(
            session_id=self.session_id,
            task_id=self.task_id,
            until_unix_nano=self.before_unix_ns,
        )
        return selection(wanted, (self.namespace,))

    @property
    def has_tasks(self) -> bool:
        """Whether tasks may be meant, too: a session has none of its own."""
        return not self.session_id


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was taken away, or would be."""

    records: int = 0
    tasks: int = 0
    is_done: bool = False


class Purging:
    """Takes what is doomed out of one store."""

    def __init__(self, store: RecordStore) -> None:
        """Take the store."""
        self._store = store

    async def count(self, doomed: Doomed) -> Purged:
        """Say what would go; raises Unavailable."""
        flavour = self._store.backend.flavour
        written = where(doomed.chosen, flavour)
        sql = f"select count(*) from records where {written.sql}"  # noqa: S608 - our own words
        records = await self._count(Statement(sql, tuple(written.parameters)))
        if not doomed.has_tasks:
            return Purged(records, 0, is_done=True)
        meant, parameters = _meant(doomed)
        sql = f"select count(*) from tasks where {meant}".replace("?", flavour.mark)  # noqa: S608 - as above
        return Purged(records, await self._count(Statement(sql, parameters)), is_done=True)

    async def _count(self, statement: Statement) -> int:
        def only(rows: Iterable[Row]) -> int:
            return next(int(value or 0) for (value,) in rows)

        return await self._store.ask(statement, only)

    async def remove(self, doomed: Doomed) -> AsyncIterator[Purged]:
        """Take it away; yields after each slice, the last time when nothing is left.

        What arrives meanwhile may stay. Whoever stops asking stops it.

        Raises:
            Unavailable: The store can't be written; what went before is gone.
        """
        chosen, backend = doomed.chosen, self._store.backend
        records = tasks = 0
        while True:
            gone = await self._store.write_with(partial(removal.purge, backend, chosen))
            records += gone
            if gone < SLICE_RECORDS:
                break
            yield Purged(records, tasks)
        if not doomed.before_unix_ns:  # else there may be records that the totals are of
            await self._store.write_with(partial(removal.purge_totals, backend, chosen))
        while doomed.has_tasks:
            gone = await self._store.write_with(partial(_delete_tasks, backend, doomed))
            tasks += gone
            if gone < SLICE_RECORDS:
                break
            yield Purged(records, tasks)
        for purge in (purge_executions, purge_learning):
            while await self._store.write_with(partial(_purge, purge, backend, doomed)):
                yield Purged(records, tasks)
        self._store.wake_followers()
        yield Purged(records, tasks, is_done=True)


def _meant(doomed: Doomed) -> tuple[str, tuple[Value, ...]]:
    return meant_tasks(doomed.namespace, doomed.task_id, doomed.before_unix_ns)


def _delete_tasks(backend: Backend, doomed: Doomed) -> int:
    with backend.transaction() as writing:
        tables = TaskTables(writing, backend.flavour.mark)
        return tables.delete_tasks(
            doomed.namespace, doomed.task_id, doomed.before_unix_ns, limit=SLICE_RECORDS
        )


def _purge(purge: Callable[..., int], backend: Backend, doomed: Doomed) -> int:
    return purge(
        backend,
        doomed.namespace,
        session_id=doomed.session_id,
        task_id=doomed.task_id,
        before_unix_ns=doomed.before_unix_ns,
    )
