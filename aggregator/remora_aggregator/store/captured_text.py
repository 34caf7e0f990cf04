"""What of captured bodies can be found by words. Pure.

The same bodies give the same text for as long as `VERSION` stays: SQLite's index of words has to
be told what it was given when a record goes.
"""

import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

from remora_proto.v1 import records_pb2 as pb

VERSION: Final = 1
MOST_CHARS: Final = 256 * 1024

_MOST_DECODED_BYTES = 4 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_DEPTH = 60
_DATA = b"data:"


def captured_text(record: pb.CallRecord) -> str:
    """Join the texts in a record's bodies: of JSON all text values, else what is readable."""
    bodies = (record.request_body, record.response_body)
    found: list[str] = []
    left = MOST_CHARS
    for text in (text for body in bodies if body.content for text in _texts(body.content)):
        found.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return "\n".join(found)


def _texts(content: bytes) -> Iterator[str]:
    if content.startswith(_GZIP):
        content = _unpacked(content)
    lines = [content]
    if _is_event_stream(content):
        lines = [line[len(_DATA) :] for line in content.splitlines() if line.startswith(_DATA)]
    for line in lines:
        try:
            yield from _values(json.loads(line), _DEPTH)
        except (ValueError, RecursionError):
            text = line.decode("utf-8", "replace")
            if text.isprintable() or "\n" in text:
                yield text


def _is_event_stream(content: bytes) -> bool:
    start = content[:256].lstrip()
    return start.startswith((_DATA, b"event:", b": "))


def _unpacked(content: bytes) -> bytes:
    """As much as was captured: a body that was cut gives what came before the cut."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content, _MOST_DECODED_BYTES)
    except zlib.error:
        return b""


def _values(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, list):
        for each in value:
            yield from _values(each, depth - 1)
    elif depth and isinstance(value, dict):
        for each in value.values():
            yield from _values(each, depth - 1)
