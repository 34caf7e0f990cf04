"""A call as the journal keeps it: what is asked by, beside the record in the wire form. Pure."""

from typing import NamedTuple

from remora.records import CallRecord
from remora.tracker.call_record import shown_latency_s, shown_model
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.spool.row import encode


class Entry(NamedTuple):
    """One row to write, but for its numbers.

    Attributes:
        facts: The record without bodies, in the wire form.
        bodies: Its bodies alone, in the wire form; empty if none were captured.
    """

    call_id: str
    tracker_id: str
    session_id: str
    data_id: str
    combo_id: str
    agent_id: str
    model: str
    input_tokens: int
    output_tokens: int
    latency_s: float
    is_cached: bool
    facts: bytes
    bodies: bytes


class Numbered(NamedTuple):
    """A call as the journal gives it.

    Attributes:
        number: Of the call, in the order in which calls ended; never used twice.
        change: Of the last write to it; grows over all calls.
        written: The record, in the wire form.
    """

    number: int
    change: int
    written: bytes

    @property
    def message(self) -> pb.CallRecord:
        """Read the record."""
        return pb.CallRecord.FromString(self.written)


def entry_of(record: CallRecord, tracker_id: str) -> Entry:
    """Make what is kept of a record.

    Raises:
        ValueError: It can't be written down.
    """
    whose, usage, encoded = record.attribution, record.usage, encode(record)
    return Entry(
        call_id=record.call_id,
        tracker_id=tracker_id,
        session_id=whose.session_id,
        data_id=_text(whose.data_id),
        combo_id=_text(whose.combo_id),
        agent_id=_text(whose.agent_id),
        model=_text(shown_model(record)),
        input_tokens=usage.input_tokens or 0 if usage is not None else 0,
        output_tokens=usage.output_tokens or 0 if usage is not None else 0,
        latency_s=shown_latency_s(record),
        is_cached=record.cached,
        facts=encoded.record,
        bodies=encoded.bodies or b"",
    )


def _text(text: str) -> str:
    """Replace what no UTF-8 can be written of."""
    return text.encode("utf-8", "replace").decode()
