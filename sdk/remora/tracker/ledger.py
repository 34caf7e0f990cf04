"""What a tracker knows of its calls: each once, in the order in which they ended."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from remora.tracker.call_record import CallRecord
from remora.tracker.link import RecordPage

type ReadPage = Callable[[str, int], RecordPage]
"""Reads the records of a tracker's id that were written after a change."""

_INDEXED = ("data_id", "combo_id", "agent_id", "session_id")


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Conditions that all have to hold; None where one is not asked for."""

    data_id: str | None = None
    combo_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None

    def takes(self, record: CallRecord) -> bool:
        """Tell whether a record is one of those asked for."""
        return (
            self.data_id in (None, record.data_id)
            and self.combo_id in (None, record.combo_id)
            and self.agent_id in (None, record.agent_id)
            and self.session_id in (None, record.session_id)
        )


class RecordLedger:
    """Records by their call ids, read from the sidecar as far as they are not known yet."""

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._records: dict[str, CallRecord] = {}
        self._by_id: dict[tuple[str, str], dict[str, None]] = {}
        self._after: dict[str, int] = {}

    def add_source(self, tracker_id: str) -> None:
        """Read the records of this tracker's id as well."""
        with self._lock:
            self._after.setdefault(tracker_id, 0)

    def sources(self) -> tuple[str, ...]:
        """List the ids whose records are read."""
        with self._lock:
            return tuple(self._after)

    def read(self, read_page: ReadPage) -> None:
        """Take what was written since the last time; a revised record takes its older one's place.

        Raises:
            Unavailable: The sidecar can't be reached.
        """
        with self._lock:
            for tracker_id in list(self._after):
                self._read(tracker_id, read_page)

    def _read(self, tracker_id: str, read_page: ReadPage) -> None:
        has_more = True
        while has_more:
            page = read_page(tracker_id, self._after[tracker_id])
            for record in page.records:
                self._add(record)
            self._after[tracker_id] = page.last_change
            has_more = page.has_more

    def _add(self, record: CallRecord) -> None:
        self._records[record.call_id] = record
        for name in _INDEXED:
            if (value := getattr(record, name)) is not None:
                self._by_id.setdefault((name, value), {})[record.call_id] = None

    def select(self, wanted: RecordFilter) -> list[CallRecord]:
        """Give what is known, oldest first."""
        with self._lock:
            return [record for record in self._candidates(wanted) if wanted.takes(record)]

    def _candidates(self, wanted: RecordFilter) -> Iterable[CallRecord]:
        """Give the records of the rarest id that is asked for: a run asks for each of its own."""
        asked = [(name, value) for name in _INDEXED if (value := getattr(wanted, name)) is not None]
        if not asked:
            return self._records.values()
        rarest = min((self._by_id.get(key, {}) for key in asked), key=len)
        return [self._records[call_id] for call_id in rarest]

    def clear(self) -> None:
        """Forget every record; what is written from now on is read as before."""
        with self._lock:
            self._records.clear()
            self._by_id.clear()


def usage_of(records: Iterable[CallRecord]) -> dict[str, tuple[int, int]]:
    """Sum input and output tokens by model, in the order in which models were first called."""
    usage: dict[str, tuple[int, int]] = {}
    for record in records:
        sent, made = usage.get(record.model, (0, 0))
        usage[record.model] = (sent + record.prompt_tokens, made + record.completion_tokens)
    return usage


def cached_latency_s(records: Iterable[CallRecord]) -> float:
    """Sum what cached answers took when they were made."""
    return sum((record.latency_seconds for record in records if record.cached), 0.0)
