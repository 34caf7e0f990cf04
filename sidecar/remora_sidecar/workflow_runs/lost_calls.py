"""Bills of calls that runs lost with the process that made them: their records may still wait."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from remora.record_wire import from_message
from remora.records import CallRecord
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.workflow_runs.order import Ordered, ordered_of
from remora_sidecar.workflow_runs.receipts import bill_of, span_of
from remora_sidecar.workflow_runs.run_table import OpenRun
from remora_sidecar.workflows.desk import ABANDONED
from remora_sidecar.workflows.saved import CallSettled, Entry, entry_of
from remora_sidecar.workflows.state import state_of

type Span = tuple[str, str]
"""Trace and span of an ask."""


class Waiting(Protocol):
    """Records that wait for their delivery."""

    async def find(self, is_wanted: Callable[[pb.CallRecord], bool]) -> list[pb.CallRecord]:
        """Give those that somebody looks for, oldest first; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Left:
    """A run as an earlier process left it.

    Attributes:
        ordered: What was ordered.
        taken_ms: How long it had taken.
        entries: What it had saved, in order.
    """

    ordered: Ordered
    taken_ms: int
    entries: Sequence[Entry]

    @classmethod
    def of(cls, run: OpenRun) -> Self:
        """Read what was kept of it."""
        entries = [entry_of(value) for value in run.entries]
        return cls(ordered_of(run.ordered), run.taken_ms, entries)

    def spans(self) -> dict[Span, str]:
        """Return the spans of its calls that are not settled, with their keys."""
        ordered = self.ordered
        keys = state_of(self.entries).open_calls
        return {(ordered.trace_id, span_of(ordered.execution_id, key)): key for key in keys}

    def bills(self, records: Mapping[Span, CallRecord]) -> list[CallSettled]:
        """Settle the calls that have a record: what they said is lost, what they took is not."""
        return [
            CallSettled(key, bill_of(records[span]), ABANDONED)
            for span, key in self.spans().items()
            if span in records
        ]


async def lost_records(waiting: Waiting, left: Sequence[Left]) -> dict[Span, CallRecord]:
    """Look for the records of calls that are not settled; of one that was revised, the last."""
    spans = {span for run in left for span in run.spans()}
    if not spans:
        return {}
    found = await waiting.find(lambda message: _span(message) in spans)
    found.sort(key=lambda message: message.revision)
    return {_span(message): from_message(message) for message in found}


def _span(message: pb.CallRecord) -> Span:
    said = message.attribution
    return said.trace_id, said.parent_span_id
