"""Where a finished call goes: what counts it, and the spool before its answer's end leaves.

Records of calls that end together are written down together: one transaction costs about what
one record does.
"""

from collections.abc import Callable
from typing import Protocol

from remora.records import CallRecord
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.sessions import Session


class RecordSpool(Protocol):
    """What the engine needs of the spool."""

    def append(self, *records: CallRecord) -> None:
        """Keep records durably; never raises for a full or broken disk."""
        ...


class RecordJournal(Protocol):
    """Where trackers ask for records."""

    def take(self, record: CallRecord, tracker_id: str) -> None:
        """Keep a record; never waits and never raises."""
        ...


CallSoon = Callable[[Callable[[], None]], object]
"""Has something called in the next turn of the event loop."""


class Recorder:
    """Takes each record exactly once.

    Attributes:
        listeners: Each is called with each record before its answer's end leaves, and never waits.
    """

    def __init__(
        self,
        spool: RecordSpool,
        metrics: EngineMetrics,
        call_soon: CallSoon,
        export: Callable[[CallRecord], None] | None = None,
        journal: RecordJournal | None = None,
        *,
        journals_all: bool = True,
    ) -> None:
        """Take where records are kept and counted.

        Args:
            spool: Until the aggregator has them.
            metrics: Counts them.
            call_soon: Of the loop.
            export: Exports them; it never waits.
            journal: For trackers' queries.
            journals_all: Whether calls of no session are for the journal as well.
        """
        self._spool = spool
        self._journal = journal
        self._journals_all = journals_all
        self._metrics = metrics
        self._call_soon = call_soon
        self._export = export
        self.listeners: list[Callable[[CallRecord], None]] = []
        self._due: list[CallRecord] = []

    def take(self, record: CallRecord, session: Session) -> None:
        """Count and export a record, which is spooled before a byte written later leaves."""
        if not self._due:
            self._call_soon(self.write_down)
        self._due.append(record)
        session.add(record)
        for told in self.listeners:
            told(record)
        if self._journal is not None and (self._journals_all or session.is_named):
            self._journal.take(record, session.tracker_id)
        if record.revision:  # counted and exported before, but for the usage it now has
            self._metrics.count_usage(record)
            return
        self._metrics.count(record)
        if self._export is not None:
            self._export(record)

    def write_down(self) -> None:
        """Spool what is not spooled yet: one bounded transaction, which may run on the loop.

        Called in the turn of the loop after a record was taken, and before any byte of an answer
        goes to an agent.
        """
        if self._due:
            due, self._due = self._due, []
            self._spool.append(*due)
