"""AWS event streams: bytes of an answer in, messages out, wherever the bytes were cut.

The format ``application/vnd.amazon.eventstream``: each message is a prelude of lengths with a
checksum, typed headers, a payload, and a checksum of all of it (smithy.io, "Amazon Event Stream
Specification"). Both Bedrock dialects use it; it knows nothing of what the payloads mean.

Headers are decoded by botocore. Its whole parser takes 12 to 17 µs for a message of 200 bytes,
most of it for headers that are the same each time, and copies all that it holds for each message;
here the cutting is our own, and a block of headers that was seen before is not decoded again,
which comes to some 3 µs.
"""

import struct
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zlib import crc32

from remora_sidecar.dialects.base import HELD_EVENT_LIMIT_BYTES
from remora_sidecar.dialects.framing.json_values import word

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_CHECKED_PRELUDE_BYTES: Final = 8
_SMALLEST_BYTES: Final = _PRELUDE.size + _CHECKSUM.size

_HEADERS_LIMIT_BYTES: Final = 8 * 1024
"""Larger headers, which nobody sends, are not decoded: botocore takes quadratic time for them."""

_KEPT_HEADER_BYTES: Final = 512
_KEPT_HEADERS: Final = 256

_MESSAGE_CHARACTERS: Final = 2000


class Kind(Enum):
    """What a message is, in the words of its ``:message-type``."""

    EVENT = "event"
    EXCEPTION = "exception"
    ERROR = "error"


class Headers(NamedTuple):
    """What the headers of a message say.

    Attributes:
        kind: What the message is.
        name: The type of the event or exception, or the code of the error.
        text: The message of an error; of the others it is in the payload.
    """

    kind: Kind
    name: str
    text: str = ""


class Message(NamedTuple):
    """One message whose checksums are right."""

    headers: Headers
    payload: bytes


class AwsEventStream:
    """Cuts a stream into messages; holds at most one unfinished message of bounded size.

    Attributes:
        skipped: Messages larger than the limit, which were passed by.
        damaged: Messages whose checksum or headers are wrong, which were passed by.
        lost: A prelude is damaged, so that nobody knows where the next message begins.
    """

    def __init__(self, limit: int = HELD_EVENT_LIMIT_BYTES) -> None:
        """Stand before the first byte; `limit` is of whole messages, in bytes."""
        self.skipped = 0
        self.damaged = 0
        self.lost = False
        self._limit = limit
        self._held = bytearray()
        self._needed = 0
        self._to_skip = 0

    @property
    def is_whole(self) -> bool:
        """Whether every byte so far belongs to a message that came to its end undamaged."""
        return not (self._held or self._to_skip or self.damaged or self.lost)

    @property
    def problem(self) -> str:
        """What could not be read, if anything."""
        if self.lost:
            return "the event stream is damaged: the checksum of a prelude is wrong"
        if self.damaged:
            return f"{self.damaged} events were damaged: a checksum or header is wrong"
        return f"{self.skipped} events were too large to be read" if self.skipped else ""

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes; return the messages that they complete."""
        if self._to_skip:
            data = self._pass_by(data)
        if self.lost or not data:
            return []
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        messages: list[Message] = []
        at = self._cut(data, messages)
        if not self.lost:
            self._held += data[at:]
        return messages

    def _cut(self, data: bytes, messages: list[Message]) -> int:
        """Take whole messages from the front; return where the first unfinished one begins."""
        at, end = 0, len(data)
        while end - at >= _PRELUDE.size:
            total, headers_size, checksum = _PRELUDE.unpack_from(data, at)
            is_sound = crc32(data[at : at + _CHECKED_PRELUDE_BYTES]) == checksum
            if not is_sound or total < _SMALLEST_BYTES + headers_size:
                self.lost = True
                return end
            if total > self._limit:
                self.skipped += 1
                self._to_skip = max(0, at + total - end)
            elif end - at < total:
                self._needed = total
                return at
            else:
                self._take(data[at : at + total], headers_size, messages)
            at = min(end, at + total)
        self._needed = _PRELUDE.size
        return at

    def _take(self, block: bytes, headers_size: int, messages: list[Message]) -> None:
        payload_at, payload_end = _PRELUDE.size + headers_size, len(block) - _CHECKSUM.size
        headers = None
        if crc32(block[:payload_end]) == _CHECKSUM.unpack_from(block, payload_end)[0]:
            headers = _read_headers(block[_PRELUDE.size : payload_at])
        if headers is None:
            self.damaged += 1
        else:
            messages.append(Message(headers, block[payload_at:payload_end]))

    def _pass_by(self, data: bytes) -> bytes:
        passed = min(len(data), self._to_skip)
        self._to_skip -= passed
        return data[passed:]


def _read_headers(block: bytes) -> Headers | None:
    """Read a block of headers; None if it can't be read."""
    if len(block) <= _KEPT_HEADER_BYTES:
        return _kept_headers(block)
    return _decoded_headers(block) if len(block) <= _HEADERS_LIMIT_BYTES else None


def _decoded_headers(block: bytes) -> Headers | None:
    try:
        fields = _decoder()(block)
    except Exception:  # noqa: BLE001  # anybody's bytes: it raises its own errors and Python's
        return None
    kind = fields.get(":message-type")
    if kind == "exception":
        return Headers(Kind.EXCEPTION, word(fields.get(":exception-type")))
    if kind == "error":
        text = word(fields.get(":error-message"), _MESSAGE_CHARACTERS)
        return Headers(Kind.ERROR, word(fields.get(":error-code")), text)
    return Headers(Kind.EVENT, word(fields.get(":event-type")))


_kept_headers = lru_cache(maxsize=_KEPT_HEADERS)(_decoded_headers)


@lru_cache(maxsize=1)
def _decoder() -> Callable[[bytes], Mapping[str, Any]]:
    # Loaded on first use: 10 ms and some 20 modules for those who never call Bedrock.
    from botocore.eventstream import EventStreamHeaderParser

    return lambda block: EventStreamHeaderParser().parse(block)
