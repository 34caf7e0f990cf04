"""Streams taken apart into JSON values and written anew: events, lines, arrays, AWS's messages.

What is no JSON is kept as text where it is one; what was cut, and may be the half of something,
is not kept.
"""

import base64
import binascii
from typing import Any, Final, NamedTuple

from remora_sidecar.dialects.framing.aws_event_stream import AwsEventStream
from remora_sidecar.dialects.framing.json_array import JsonArray
from remora_sidecar.dialects.framing.json_values import UNREADABLE, parse_json
from remora_sidecar.policy.redaction.document import dumped
from remora_sidecar.policy.redaction.marks import left_out

LINES_TYPE: Final = "application/x-ndjson"
"""What AWS's messages are written as."""

_BOM: Final = b"\xef\xbb\xbf"


_ASIDE: Final = "type"
"""Member in which a line beside the data stands, which is no piece of any text."""


class Item(NamedTuple):
    """What stands around one value of a stream.

    Attributes:
        before: In front of the value.
        after: Behind it.
        is_json: The value is written as JSON, not as the text that it is.
    """

    before: bytes
    after: bytes
    is_json: bool = True


class Stream(NamedTuple):
    """A stream taken apart; to be changed in place and written anew."""

    items: list[Item]
    values: list[Any]

    def add(self, before: bytes, value: object, after: bytes, *, is_json: bool = True) -> None:
        """Add the next value."""
        self.items.append(Item(before, after, is_json))
        self.values.append(value)

    def written(self) -> bytes:
        """Write it down."""
        pieces: list[bytes] = []
        for (before, after, is_json), value in zip(self.items, self.values, strict=True):
            text = dumped(value) if is_json else _plain(value).replace(b"\n", b"\n" + before)
            pieces += (before, text, after)
        return b"".join(pieces)


def _plain(value: Any) -> bytes:
    text = value[_ASIDE] if type(value) is dict else value
    return str(text).encode("utf-8", "replace")


def _readable(data: bytes) -> tuple[object, bool]:
    """Return a value and whether it is JSON; half a document is neither JSON nor text."""
    value = parse_json(data)
    if type(value) is dict or type(value) is list:
        return value, True
    if data.lstrip().startswith((b"{", b"[{", b'["', b"[[")):
        return left_out(f"{len(data)} bytes that are not whole").decode(), False
    return data.decode("utf-8", "replace"), False


def sse(data: bytes, *, cut: bool) -> Stream:
    """Take server-sent events apart; where the stream was cut, the last may be half of one."""
    stream = Stream([], [])
    text = data.removeprefix(_BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    blocks = text.split(b"\n\n")
    if cut:
        blocks.pop()
    for block in blocks:
        if block.strip(b"\n"):
            _add_event(stream, block.strip(b"\n"))
    return stream


def _add_event(stream: Stream, block: bytes) -> None:
    fields, lines = [], []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        else:
            fields.append(line)
    for aside in fields:
        stream.add(b"", {_ASIDE: aside.decode("utf-8", "replace")}, b"\n", is_json=False)
    if lines:
        data, is_json = _readable(b"\n".join(lines))
        stream.add(b"data: ", data, b"\n\n", is_json=is_json)
    else:
        stream.add(b"", {_ASIDE: ""}, b"\n", is_json=False)


def json_lines(data: bytes, *, cut: bool) -> Stream:
    """Take lines of JSON apart."""
    stream = Stream([], [])
    lines = data.split(b"\n")
    if cut:
        lines.pop()
    for line in filter(None, map(bytes.strip, lines)):
        value, is_json = _readable(line)
        stream.add(b"", value, b"\n", is_json=is_json)
    return stream


def json_array(data: bytes) -> Stream:
    """Take an array of objects apart, of which the last may be cut."""
    elements: list[object] = []
    JsonArray().feed(data, lambda element, _: elements.append(element))
    return array_of(elements)


def array_of(elements: list[Any]) -> Stream:
    """Make a stream of the elements of an array."""
    stream = Stream([], [])
    for number, element in enumerate(elements, 1):
        stream.add(b"[" if number == 1 else b"", element, b"," if number < len(elements) else b"]")
    return stream


def aws_messages(data: bytes) -> Stream:
    """Take AWS's messages apart; they are written as lines of JSON."""
    stream = Stream([], [])
    frames = AwsEventStream()
    for message in frames.feed(data):
        value = parse_json(message.payload) if message.payload else {}
        if type(value) is not dict:
            value = {"payload": left_out(f"{len(message.payload)} bytes").decode()}
        stream.add(b"", {"event": message.headers.name, **_unpacked(value)}, b"\n")
    return stream


def _unpacked(payload: dict[str, Any]) -> dict[str, Any]:
    """Undo the base64 that InvokeModel wraps its events in."""
    inner = payload.get("bytes")
    if type(inner) is not str:
        return payload
    try:
        value = parse_json(base64.b64decode(inner, validate=True))
    except (binascii.Error, ValueError):
        value = UNREADABLE
    if type(value) is dict:
        return value
    return {"payload": left_out(f"{len(inner)} characters of base64").decode()}


def is_sse(head: bytes) -> bool:
    """Tell whether a body begins as events do."""
    return head.removeprefix(_BOM).lstrip(b"\r\n").startswith((b"data:", b"event:", b":", b"id:"))


def is_lines(data: bytes) -> bool:
    """Tell whether a body is made of several lines of which the first is an object."""
    first, _, rest = data.lstrip().partition(b"\n")
    return first.startswith(b"{") and rest[:1] == b"{" and parse_json(first) is not UNREADABLE


def elements(value: object) -> list[Any] | None:
    """Return the objects of an array, which a stream may be; None if it is anything else."""
    if type(value) is list and len(value) > 1 and all(type(item) is dict for item in value):
        return value
    return None
