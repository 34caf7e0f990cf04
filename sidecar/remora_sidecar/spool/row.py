"""A record as the spool keeps it: two byte strings in the wire form, facts and bodies apart.

Protobuf messages merge when their bytes are joined, so bodies can be shed, and notes added,
without reading the record, and what another version wrote survives untouched. Pure: the
spool and its database call it; it knows neither SQLite nor the clock.
"""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from remora.record_wire import add_bodies, write_without_bodies
from remora.records import CallRecord
from remora_proto.v1 import records_pb2 as pb

BODIES_LIMIT_BYTES = 3 * 1024 * 1024
"""Bodies above this are not spooled: gRPC servers take messages of 4 MiB unless told otherwise."""

SHED = b""
"""In place of bodies: there were some, and they were given up."""

_SHED_NOTE = "captured bodies were shed by the sidecar's spool"
_MENDED_NOTE = "text or figures that do not fit the wire form were replaced or left out"
_LOST_NOTE = "the sidecar could not write this record down; only its id and time are known"
_INT_LIMIT = 1 << 63


class Row(NamedTuple):
    """One spooled record; ``bodies`` is None where none were captured."""

    sequence: int
    record: bytes
    bodies: bytes | None

    @property
    def size(self) -> int:
        """Bytes held, without the database's own."""
        return len(self.record) + len(self.bodies or b"")

    def without_bodies(self) -> "Row":
        """The row after its bodies were shed."""
        return Row(self.sequence, self.record, SHED if self.bodies is not None else None)

    def message(self) -> pb.CallRecord:
        """Read the wire form; raises `DecodeError` where the bytes are no record."""
        message = pb.CallRecord.FromString(self.record + (self.bodies or b""))
        if not message.call_id:
            raise DecodeError("the record has no call id")
        if self.bodies == SHED:
            message.notes.append(_SHED_NOTE)
        return message

    def spooled(self) -> "Spooled":
        """Hand it out; raises `DecodeError` where the bytes are no record."""
        message = self.message()
        if self.bodies == SHED:
            return Spooled(self.sequence, message.SerializeToString())
        return Spooled(self.sequence, self.record + (self.bodies or b""))


class Spooled(NamedTuple):
    """A record as handed out for delivery, under the spool's own number, in the wire form."""

    sequence: int
    written: bytes

    @property
    def message(self) -> pb.CallRecord:
        """Read it."""
        return pb.CallRecord.FromString(self.written)


class Encoded(NamedTuple):
    """A record in the wire form.

    Attributes:
        record: Facts.
        bodies: None where none were captured.
    """

    record: bytes
    bodies: bytes | None


def encode(record: CallRecord) -> Encoded:
    """Make the byte strings of a record; a value that does not fit is mended and noted.

    Raises:
        ValueError: Not even the call id and the time can be written down.
    """
    try:
        return _encode(record)
    except (TypeError, ValueError):
        pass
    try:
        return _encode(_mended(record))
    except (TypeError, ValueError):
        return _encode(_bare(record))


def _bare(record: CallRecord) -> CallRecord:
    return CallRecord(record.call_id, record.started_unix_ns, notes=(_LOST_NOTE,))


def _encode(record: CallRecord) -> Encoded:
    facts = write_without_bodies(record)
    if record.request_body is None and record.response_body is None:
        return Encoded(facts, None)
    return Encoded(facts, _encode_bodies(record))


def _encode_bodies(record: CallRecord) -> bytes:
    bodies = (record.request_body, record.response_body)
    if sum(len(body.content) for body in bodies if body is not None) > BODIES_LIMIT_BYTES:
        return SHED
    message = pb.CallRecord()
    add_bodies(message, record)
    return message.SerializeToString()


def _mended(record: CallRecord) -> CallRecord:
    mended: CallRecord = _fitting(record)
    return replace(mended, notes=(*mended.notes, _MENDED_NOTE))


def _fitting(value: Any) -> Any:
    """The value with lone surrogates replaced and integers out of range left out."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, tuple):
        items = map(_fitting, value)
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **dict(_fitting_fields(value)))
    if isinstance(value, int) and not isinstance(value, bool | Enum):
        return value if 0 <= value < _INT_LIMIT else None
    return value


def _fitting_fields(value: Any) -> Iterable[tuple[str, Any]]:
    for field in fields(value):
        before = getattr(value, field.name)
        after = _fitting(before)
        yield field.name, 0 if after is None and field.type in (int, "int") else after
