"""The resource ``/v1/fields``: what records can be asked by, ordered by and summed up by."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args

from aiohttp import web
from google.protobuf.descriptor import Descriptor
from pydantic import ConfigDict, Field

from remora.client.condition import SIGNS, Operator
from remora.errors import BadRequest
from remora_aggregator.store.fields import Field as StoreField
from remora_aggregator.store.fields import Kind, field_named
from remora_aggregator.store.selection import RANGES
from remora_aggregator.web.answering import json_answer
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import Dimension, NoParameters
from remora_aggregator.web.record_answer import Answer
from remora_proto.v1 import records_pb2 as pb

_LABELS: Final = "origin.labels.NAME"
_STAMPED: Final = (
    "model",
    "namespace",
    "pod_uid",
    "is_error",
    "received_unix_nano",
    "clock_skew_s",
)
_UNORDERED: Final = frozenset({Kind.TRUTH, Kind.ENUM})


class FieldAnswer(Answer):
    """A field that records can be asked by."""

    model_config = ConfigDict(title="Field")

    name: str = Field(description="As `where` and `order_by` take it; NAME stands for any label.")
    kind: str = Field(description="`text`, `number`, `money`, `truth` or `enum`.")
    operators: list[str]
    values: list[str] | None = Field(description="Of an enum.")
    orders: bool = Field(description="Whether `order_by` takes it.")
    is_quick: bool = Field(
        description="Whether the store finds it by itself; of others it reads every record, so "
        "that a question should have other conditions beside them."
    )


class FieldListAnswer(Answer):
    """What records can be asked by."""

    model_config = ConfigDict(title="FieldList")

    fields: list[FieldAnswer]
    group_by: list[str] = Field(description="What usage can be grouped by.")


def field_paths(message: Descriptor = pb.CallRecord.DESCRIPTOR, before: str = "") -> Iterator[str]:
    """Give the paths of all fields of a record that can be asked by."""
    for described in message.fields:
        path = f"{before}{described.name}"
        if path == "origin.labels":
            yield _LABELS
        elif described.message_type is not None:
            yield from field_paths(described.message_type, f"{path}.")
        elif _can_be_asked(path):
            yield path


def _can_be_asked(path: str) -> bool:
    try:
        field_named(path)
    except BadRequest:
        return False
    return True


@cache
def field_list() -> FieldListAnswer:
    """List the fields."""
    paths = [*_STAMPED, *field_paths()]
    return FieldListAnswer(
        fields=[_shown(path) for path in paths], group_by=list(get_args(Dimension))
    )


def _shown(path: str) -> FieldAnswer:
    field = field_named(path)
    return FieldAnswer(
        name=_short(path),
        kind=field.kind.value,
        operators=[sign for sign, operator in SIGNS.items() if _takes(field.kind, operator)],
        values=_words(field),
        orders=bool(field.column) and field.kind in (Kind.NUMBER, Kind.MONEY),
        is_quick=bool(field.column),
    )


def _short(path: str) -> str:
    """Give the name alone where that means the same, as ``session_id`` does."""
    name = path.rpartition(".")[2]
    is_enough = _can_be_asked(name) and field_named(name) == field_named(path)
    return name if is_enough else path


def _words(field: StoreField) -> list[str] | None:
    """Write an enum's names as the JSON of a record does: without what all begin with."""
    begin = f"{field.path.rpartition('.')[2].upper()}_"
    return [name.removeprefix(begin).lower() for name, _ in field.numbers] or None


def _takes(kind: Kind, operator: Operator) -> bool:
    return kind not in _UNORDERED or operator not in RANGES


async def list_fields(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Answer with the fields."""
    del request, asked
    shown: dict[str, Any] = field_list().model_dump()
    return json_answer(shown)


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/fields", "listFields", "List what records can be asked by",
        parameters=NoParameters, handler=list_fields, answer=json_of(FieldListAnswer),
    ),
)  # fmt: skip
