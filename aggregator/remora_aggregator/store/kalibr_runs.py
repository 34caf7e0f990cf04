"""Runs of Kalibr's clients: one row for each trace, changed in one transaction."""

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import TypeAdapter

from remora_aggregator.signals.kalibr_runs import Run
from remora_aggregator.store import kalibr_table
from remora_aggregator.store.kalibr_table import KalibrTable
from remora_aggregator.store.port import Row

_DOCUMENT: Final = TypeAdapter(Run)
_ONE: Final = "select document from kalibr_runs where namespace = ? and call_id = ?"
_OF_SESSION: Final = (
    "select document from kalibr_runs where namespace = ? and session_id = ? "
    "order by at_ms desc limit 1"
)
_PUT: Final = (
    "insert into kalibr_runs (namespace, call_id, at_ms, session_id, document) "
    "values (?, ?, ?, ?, ?) on conflict (namespace, call_id) do update "
    "set session_id = excluded.session_id, document = excluded.document"
)
_FORGET: Final = (
    "delete from kalibr_runs where (namespace, call_id) in "
    "(select namespace, call_id from kalibr_runs where at_ms < ? limit ?) returning 1"
)

type Change = Callable[[Run | None], Run]


class KalibrRuns(KalibrTable):
    """Keeps runs by namespace and call id."""

    async def run(self, namespace: str, call_id: str) -> Run | None:
        """Read a run; None: nothing is known of it."""
        rows = await self._rows(_ONE, namespace, call_id)
        return _run(rows[0]) if rows else None

    async def last_of_session(self, namespace: str, session_id: str) -> Run | None:
        """Read the run of a session that began last."""
        rows = await self._rows(_OF_SESSION, namespace, session_id)
        return _run(rows[0]) if rows else None

    async def change(self, namespace: str, call_id: str, change: Change) -> Run:
        """Change a run in one transaction; gives what it is now."""

        def work(run: kalibr_table.Run) -> Run:
            rows = run(_ONE, namespace, call_id)
            before = _run(rows[0]) if rows else None
            after = change(before)
            if after != before:
                _put(run, namespace, after)
            return after

        return await self._write(work)

    async def change_known(
        self, namespace: str, changes: Mapping[str, Callable[[Run], Run]]
    ) -> list[Run]:
        """Change those of some runs that are known, by their call ids; gives those that changed."""

        def work(run: kalibr_table.Run) -> list[Run]:
            changed = []
            for call_id, change in sorted(changes.items()):
                rows = run(_ONE, namespace, call_id)
                before = _run(rows[0]) if rows else None
                if before is not None and (after := change(before)) != before:
                    _put(run, namespace, after)
                    changed.append(after)
            return changed

        return await self._write(work)

    async def forget(self, before_ms: int, *, limit: int) -> int:
        """Forget runs that began before a time, so many at most; gives how many."""
        return len(await self._write(lambda run: run(_FORGET, before_ms, limit)))


def _put(run: kalibr_table.Run, namespace: str, kept: Run) -> None:
    document = _DOCUMENT.dump_json(kept).decode()
    run(_PUT, namespace, kept.call_id, kept.at_ms, kept.session_id or None, document)


def _run(row: Row) -> Run:
    return _DOCUMENT.validate_json(str(row[0]))
