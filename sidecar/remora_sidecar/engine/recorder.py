"""Where a finished call goes: the spool first, then what counts it."""

from collections.abc import Callable
from typing import Protocol

from remora.records import CallRecord
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.sessions import Session


class RecordSpool(Protocol):
    """What the engine needs of the spool."""

    def append(self, record: CallRecord) -> None:
        """Keep a record durably; never raises for a full or broken disk."""
        ...


class Recorder:
    """Takes each record exactly once."""

    def __init__(
        self,
        spool: RecordSpool,
        metrics: EngineMetrics,
        export: Callable[[CallRecord], None] | None = None,
    ) -> None:
        """Take where records are kept and counted, and who exports them; it never waits."""
        self._spool = spool
        self._metrics = metrics
        self._export = export

    def take(self, record: CallRecord, session: Session) -> None:
        """Spool a record, then count and export it. One bounded insert: may run on the loop."""
        self._spool.append(record)
        session.add(record)
        if record.revision:  # counted and exported before, but for the usage it now has
            self._metrics.count_usage(record)
            return
        self._metrics.count(record)
        if self._export is not None:
            self._export(record)
