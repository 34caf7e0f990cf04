"""What conditions may ask: the variables, their members and their types.

One table. The checker's types are made from it, so that a wrong name or a comparison of text
with a number is found when a policy is read, not when a call comes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool

Kind = Literal["text", "truth", "integer", "texts", "texts by name", "messages"]

MEMBERS: Final[Mapping[str, Mapping[str, Kind]]] = MappingProxyType(
    {
        "request": {
            "provider": "text",
            "dialect": "text",
            "operation": "text",
            "model": "text",
            "stream": "truth",
            "messages": "messages",
            "tools": "texts",
            "max_tokens": "integer",
            "estimated_input_tokens": "integer",
            "headers": "texts by name",
        },
        "session": {"id": "text", "data_id": "text", "combo_id": "text", "agent_id": "text"},
        "task": {"id": "text"},
        "pod": {"name": "text", "namespace": "text", "labels": "texts by name"},
    }
)
"""Variables with members, and the members' types."""

NOW: Final = "now"
"""The variable that is a time and has no members."""

VARIABLES: Final = (*MEMBERS, NOW)

MESSAGE_MEMBERS: Final[Mapping[str, Kind]] = MappingProxyType({"role": "text", "content": "text"})

PACKAGE: Final = "remora"
"""Before the names of the variables' types."""

_Field = FieldDescriptorProto

_SCALARS: Final = {
    "text": _Field.TYPE_STRING,
    "truth": _Field.TYPE_BOOL,
    "integer": _Field.TYPE_INT64,
    "texts": _Field.TYPE_STRING,
}
_REPEATED: Final = frozenset({"texts", "messages", "texts by name"})


def type_pool() -> DescriptorPool:
    """Describe each variable as a message type of its own name, for the checker."""
    file = FileDescriptorProto(name="conditions.proto", package=PACKAGE, syntax="proto3")
    for name, members in {**MEMBERS, "message": MESSAGE_MEMBERS}.items():
        _add_type(file.message_type.add(name=name), members)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_type(made: DescriptorProto, members: Mapping[str, Kind]) -> None:
    for number, (name, kind) in enumerate(members.items(), 1):
        field = made.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        if kind in _REPEATED:
            field.label = _Field.LABEL_REPEATED
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
            continue
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.message"
        if kind == "texts by name":
            entry = f"{name.capitalize()}Entry"
            field.type_name = f".{PACKAGE}.{made.name}.{entry}"
            _add_entry(made.nested_type.add(name=entry))


def _add_entry(made: DescriptorProto) -> None:
    made.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        made.field.add(
            name=name, number=number, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL
        )
