r"""One condition on a field of a record, as people write it: ``latency_s>=2``. Pure.

A condition is a field, an operator and values::

    provider=openai|anthropic     one of the values; an empty one stands for "not stated"
    error.type!=rate_limited      none of them
    latency_s>=2                  also < <= >, with one value
    model~gpt-4o*|claude-*        one of the patterns: * is any text, ? any one character
    model!~*-preview              none of them
    ttft_s?                       stated at all; ttft_s!? is not stated

In values ``\|`` is a bar and ``\\`` a backslash, and a value that begins with ``=``, ``~``, ``<``
or ``>`` has a backslash before it, so that ``==`` or ``=>`` can't be meant and missed. Nothing else
is special, spaces included. Fields are paths of `CallRecord`; names that the JSON of a record has
for them are taken too.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from remora.errors import BadRequest
from remora_proto.v1 import records_pb2 as pb

MOST_CHARS: Final = 8_192

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_ESCAPED: Final = frozenset("|\\=~<>")
_MISLEADING: Final = ("=", "~", "<", ">")

_ATTRIBUTION = ("trace_id", "parent_span_id", "goal")
_ORIGIN = ("node", "sidecar_version", "mode", "original_destination")
_PATHS: Final = {
    **{name: f"attribution.{name}" for name in _ATTRIBUTION},
    **{name: f"origin.{name}" for name in _ORIGIN},
}
"""Where what the JSON of a record has at its top stands in the message; session_id and its like
the aggregator knows by itself."""
_LABELS: Final = "labels."


class Operator(Enum):
    """How a field is compared; values are the wire numbers."""

    EQUAL = 1
    NOT_EQUAL = 2
    LESS = 3
    LESS_OR_EQUAL = 4
    GREATER = 5
    GREATER_OR_EQUAL = 6
    GLOB = 7
    NOT_GLOB = 8
    PRESENT = 9
    ABSENT = 10


SIGNS: Final = {
    "!=": Operator.NOT_EQUAL,
    "!~": Operator.NOT_GLOB,
    "!?": Operator.ABSENT,
    "<=": Operator.LESS_OR_EQUAL,
    ">=": Operator.GREATER_OR_EQUAL,
    "=": Operator.EQUAL,
    "~": Operator.GLOB,
    "?": Operator.PRESENT,
    "<": Operator.LESS,
    ">": Operator.GREATER,
}
"""Longer ones first: what begins alike is read as the longest."""

_SIGN_OF: Final = {operator: sign for sign, operator in SIGNS.items()}
_WITHOUT_VALUE: Final = (Operator.PRESENT, Operator.ABSENT)
_RANGES: Final = (
    Operator.LESS, Operator.LESS_OR_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field has to be.

    Attributes:
        field: As written.
        values: To compare with; one for a range, none for `PRESENT` and `ABSENT`.
    """

    field: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it so that `parse_condition` reads the same."""
        written = "|".join(value.replace("\\", "\\\\").replace("|", "\\|") for value in self.values)
        if written.startswith(_MISLEADING):
            written = f"\\{written}"
        return f"{self.field}{_SIGN_OF[self.operator]}{written}"


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        BadRequest: It is none; the text says what was expected, and at which character.
    """
    if len(text) > MOST_CHARS:
        raise BadRequest(f"a condition has at most {MOST_CHARS} characters, not {len(text)}")
    named = _FIELD.match(text)
    if named is None:
        raise _refused(text, 0, "a field such as latency_s is expected")
    sign = next((sign for sign in SIGNS if text.startswith(sign, named.end())), "")
    if not sign:
        raise _refused(text, named.end(), f"one of {' '.join(SIGNS)} is expected")
    operator, begin = SIGNS[sign], named.end() + len(sign)
    return Condition(named[0], operator, _values(text, begin, operator))


def _values(text: str, begin: int, operator: Operator) -> tuple[str, ...]:
    if operator in _WITHOUT_VALUE:
        if text[begin:]:
            raise _refused(text, begin, "nothing is expected here")
        return ()
    if text.startswith(_MISLEADING, begin):
        raise _refused(text, begin, f"a value that begins so is written \\{text[begin]}")
    values = _split(text, begin)
    if operator in _RANGES and (len(values) > 1 or not values[0]):
        raise _refused(text, begin, "one value is expected")
    return values


def _split(text: str, begin: int) -> tuple[str, ...]:
    values, value, at = [], "", begin
    while at < len(text):
        letter = text[at]
        if letter == "|":
            values.append(value)
            value = ""
        elif letter == "\\":
            at += 1
            if at == len(text) or text[at] not in _ESCAPED:
                raise _refused(text, at, "after a backslash one of | \\ = ~ < > is expected")
            value += text[at]
        else:
            value += letter
        at += 1
    return (*values, value)


def _refused(text: str, at: int, what: str) -> BadRequest:
    found = repr(text[at : at + 20]) if text[at:] else "the end"
    shown = text if len(text) <= 80 else f"{text[:79]}…"
    return BadRequest(
        f"the condition {shown!r} can't be read: at character {at + 1} {what}, not {found}",
        code="bad_condition",
    )


def to_message(condition: Condition) -> pb.Condition:
    """Make the wire form."""
    message = pb.Condition(field=_path(condition.field), values=condition.values)
    message.operator = condition.operator.value  # type: ignore[assignment]  # the enum's wire number
    return message


def _path(name: str) -> str:
    if name.startswith(_LABELS):
        return f"origin.{name}"
    return _PATHS.get(name, name)
