"""A checked CEL expression as a tree: what the CEL library writes when it serializes one.

The message is `cel.expr.CheckedExpr` of github.com/google/cel-spec, of which only the fields
that are read here are described; protobuf passes over the others.
"""

from functools import cache
from typing import Any, Final

from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

Node = Any
"""A `cel.expr.Expr`; its class is made from the table below."""

_PACKAGE: Final = "remora.cel"

_TYPES: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "Checked": (("references", 2, "Reference*"), ("expr", 4, "Expr")),
    "Reference": (("key", 1, "int"), ("value", 2, "Overloads")),
    "Overloads": (("ids", 3, "text*"),),
    "Expr": (
        ("id", 2, "int"),
        ("const", 3, "Constant|"),
        ("ident", 4, "Ident|"),
        ("select", 5, "Select|"),
        ("call", 6, "Call|"),
        ("list", 7, "List|"),
        ("struct", 8, "Struct|"),
        ("comprehension", 9, "Comprehension|"),
    ),
    "Constant": (("text", 6, "text?"),),
    "Ident": (("name", 1, "text"),),
    "Select": (("operand", 1, "Expr"), ("field", 2, "text")),
    "Call": (("target", 1, "Expr"), ("function", 2, "text"), ("args", 3, "Expr*")),
    "List": (("elements", 1, "Expr*"),),
    "Struct": (("name", 1, "text"), ("entries", 2, "Entry*")),
    "Entry": (("key", 3, "Expr"), ("value", 4, "Expr")),
    "Comprehension": (
        ("variable", 1, "text"),
        ("range", 2, "Expr"),
        ("total", 3, "text"),
        ("start", 4, "Expr"),
        ("condition", 5, "Expr"),
        ("step", 6, "Expr"),
        ("result", 7, "Expr"),
    ),
}
"""Name, number and type of the fields.

``*`` is repeated, ``?`` one whose absence is told, ``|`` one of several of which one is there.
"""

_Field = FieldDescriptorProto
_SCALARS: Final = {"int": _Field.TYPE_INT64, "text": _Field.TYPE_STRING}


def read_checked(serialized: bytes) -> Any:
    """Read a serialized expression: its tree, and which functions its calls may come to.

    Raises:
        ValueError: It is nested too deeply to be read.
    """
    try:
        return _checked_class().FromString(PackedMessage.FromString(serialized).value)
    except DecodeError as error:
        raise ValueError("nested too deeply") from error


@cache
def _checked_class() -> Any:
    file = FileDescriptorProto(name="cel_syntax.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _TYPES.items():
        made = file.message_type.add(name=name)
        for field in fields:
            _add_field(made, *field)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Checked"))


def _add_field(made: DescriptorProto, name: str, number: int, kind: str) -> None:
    field = made.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.endswith("*"):
        field.label = _Field.LABEL_REPEATED
    if kind.endswith(("?", "|")):
        field.oneof_index = 0
        if not made.oneof_decl:
            made.oneof_decl.add(name="kind")
    kind = kind.rstrip("*?|")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
