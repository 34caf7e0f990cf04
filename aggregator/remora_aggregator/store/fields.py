"""The fields of a record that can be asked by: by column, or in the message itself. Pure.

Every scalar field of CallRecord has a path (``usage.input_tokens``, ``origin.labels.app``,
``attempts.status_code``). Those that are columns too are asked by SQL; of the others the message is
read, record by record, so a question should have other conditions beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from remora.errors import BadRequest
from remora.wire_money import usd_of
from remora_aggregator.store.facts import column_text, is_error
from remora_proto.v1 import records_pb2 as pb

type Scalar = str | int | float | bool | Decimal


class Kind(Enum):
    """What the values of a field are, and so how they compare."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    TRUTH = "truth"
    ENUM = "enum"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that can be asked by.

    Attributes:
        path: As people write it.
        column: Where it is a column too; empty if only the message has it.
        names: The steps to it in the message.
        numbers: The numbers of an enum's names.
    """

    path: str
    kind: Kind
    column: str = ""
    names: tuple[str, ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()

    def value_of(self, text: str) -> Scalar:
        """Read a value to compare with.

        Raises:
            BadRequest: It is none for this field.
        """
        try:
            return self._read(text)
        except (KeyError, ValueError, InvalidOperation):
            what = {Kind.TRUTH: "true or false"}.get(self.kind, "a number")
            raise BadRequest(f"{self.path} is compared with {what}, not {text[:40]!r}") from None

    def _read(self, text: str) -> Scalar:
        if self.kind is Kind.TEXT:
            return column_text(text) if self.column else text
        if self.kind is Kind.TRUTH:
            return _TRUTHS[text.lower()]
        if self.kind is Kind.ENUM and not text.isdecimal():
            return _number_named(self.numbers, text)
        if self.kind is Kind.MONEY:
            return usd_of(text)
        number = float(text)
        if not isfinite(number):
            raise ValueError(text)
        whole = int(text) if text.lstrip("+-").isdecimal() else None
        # What no column holds compares as well as a float, which every database takes.
        return number if whole is None or not -_MOST <= whole < _MOST else whole


def _number_named(numbers: tuple[tuple[str, int], ...], text: str) -> int:
    wanted = text.upper()
    for name, number in numbers:
        if name == wanted or name.endswith(f"_{wanted}"):
            return number
    raise ValueError(text)


_COLUMNS: Final = {
    "attribution.session_id": "session_id",
    "attribution.data_id": "data_id",
    "attribution.combo_id": "combo_id",
    "attribution.agent_id": "agent_id",
    "attribution.task_id": "task_id",
    "origin.workload": "workload",
    "origin.pod_name": "pod_name",
    "call_id": "call_id",
    "revision": "revision",
    "started_unix_nano": "started_unix_ns",
    "provider": "provider",
    "dialect": "dialect",
    "operation": "operation",
    "requested_model": "requested_model",
    "sent_model": "sent_model",
    "response_model": "response_model",
    "status_code": "status_code",
    "error.type": "error_type",
    "receipt.rule": "rule",
    "cache.result": "cache_result",
    "cached": "is_cached",
    "cost.total_usd": "cost_usd",
    "cache.saved_usd": "saved_usd",
    "latency_s": "latency_s",
    "ttft_s": "ttft_s",
    "overhead_s": "overhead_s",
}
"""Tokens are no columns here: those of a cached answer count as nothing in theirs."""

_OWN: Final = {
    "model": Field("model", Kind.TEXT, "model"),
    "namespace": Field("namespace", Kind.TEXT, "namespace"),
    "pod_uid": Field("pod_uid", Kind.TEXT, "pod_uid"),
    "is_error": Field("is_error", Kind.TRUTH, "is_error"),
    "received_unix_nano": Field("received_unix_nano", Kind.NUMBER, "received_unix_ns"),
    "clock_skew_s": Field("clock_skew_s", Kind.NUMBER, "clock_skew_s"),
}
_SHORT: Final = {
    "goal": "attribution.goal",
    **{path.rpartition(".")[2]: path for path in _COLUMNS
       if path.startswith(("attribution", "origin"))},
}  # fmt: skip
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
_MONEY_SUFFIX = "_usd"
_MOST: Final = 1 << 63
_UNASKED = ("request_body", "response_body")


@cache
def field_named(path: str) -> Field:
    """Find a field.

    Raises:
        BadRequest: There is none of that name.
    """
    path = _SHORT.get(path, path)
    if path in _OWN:
        return _OWN[path]
    names = tuple(path.split("."))
    if path.startswith("origin.labels."):
        names = ("origin", "labels", path.removeprefix("origin.labels."))
        return Field(path, Kind.TEXT, names=names)
    described = _described(names) if names[0] not in _UNASKED else None
    if described is None:
        raise BadRequest(f"records have no field {path[:60]!r} to be asked by")
    kind = _kind(described)
    enum = described.enum_type
    values = enum.values_by_name.items() if enum is not None else ()
    named = tuple((name, value.number) for name, value in values)
    return Field(path, kind, _COLUMNS.get(path, ""), names, named)


def _described(names: tuple[str, ...]) -> FieldDescriptor | None:
    message: Descriptor | None = pb.CallRecord.DESCRIPTOR
    found: FieldDescriptor | None = None
    for name in names:
        found = message.fields_by_name.get(name) if message is not None else None
        if found is None:
            return None
        message = found.message_type
    return None if message is not None else found


def _kind(described: FieldDescriptor) -> Kind:
    if described.type == FieldDescriptor.TYPE_BOOL:
        return Kind.TRUTH
    if described.type == FieldDescriptor.TYPE_ENUM:
        return Kind.ENUM
    if described.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return Kind.MONEY if described.name.endswith(_MONEY_SUFFIX) else Kind.TEXT
    return Kind.NUMBER


def values_of(stored: pb.StoredRecord, field: Field) -> Iterator[Scalar]:
    """Give what a record states in a field: nothing, one value, or several."""
    own = _own_value(stored, field.path)
    if own is not None:
        yield own
    elif field.names:
        yield from _walk(stored.record, field.names, field.kind)


def _own_value(stored: pb.StoredRecord, path: str) -> Scalar | None:
    record = stored.record
    if path == "model":
        return record.response_model or record.sent_model or record.requested_model or None
    if path == "is_error":
        return is_error(record)
    if path in ("namespace", "pod_uid", "received_unix_nano"):
        value: Scalar = getattr(stored, path)
        return value
    if path == "clock_skew_s" and stored.HasField("clock_skew_s"):
        return stored.clock_skew_s
    return None


def _walk(message: Any, names: tuple[str, ...], kind: Kind) -> Iterator[Scalar]:
    name, *rest = names
    value = getattr(message, name)
    if name == "labels":
        if rest[0] in value:
            yield value[rest[0]]
        return
    described = message.DESCRIPTOR.fields_by_name[name]
    many = value if described.is_repeated else [value] if _is_stated(message, described) else []
    for one in many:
        if rest:
            yield from _walk(one, tuple(rest), kind)
        elif (scalar := _scalar(one, kind)) is not None:
            yield scalar


def _is_stated(message: Any, described: FieldDescriptor) -> bool:
    if described.has_presence:
        stated: bool = message.HasField(described.name)
        return stated
    # Numbers and truths without presence are always stated; empty text is not.
    return described.type not in (FieldDescriptor.TYPE_STRING,) or bool(
        getattr(message, described.name)
    )


def _scalar(value: Any, kind: Kind) -> Scalar | None:
    if kind is not Kind.MONEY:
        scalar: Scalar = value
        return scalar
    try:
        return Decimal(value) if value else None
    except InvalidOperation:
        return None
