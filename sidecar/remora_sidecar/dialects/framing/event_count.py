"""How many events of a stream have come, whatever it is made of: what may be held is bounded. Pure.

The first byte tells the framing, as it does for those who read the events. Of server-sent events
the comments count as well: a provider may send nothing else for minutes.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from remora_sidecar.dialects.framing.aws_event_stream import AwsEventStream
from remora_sidecar.dialects.framing.json_array import JsonArray

SPACE: Final = b" \t\r\n\xef\xbb\xbf"
"""What may stand in front of a body and says nothing: white space, and a byte order mark."""

_BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_BYTES_BEFORE_LAST: Final = 3
"""Of the longest blank line all but its last byte may be in an earlier piece."""


class Ended(NamedTuple):
    """What some bytes completed.

    Attributes:
        events: How many came to their end.
        left: How many of the bytes stand behind the last such end; None if there was none.
    """

    events: int
    left: int | None = None


class EventCount:
    """Counts the events that came to their end.

    Attributes:
        events: How many there were.
        left: How many bytes stand behind the last one's end; 0 in framings in which nothing can
            be made of an event without its end.
    """

    def __init__(self) -> None:
        """Stand before the first byte."""
        self.events = 0
        self.left = 0
        self._count: Callable[[bytes], Ended] | None = None

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes."""
        if self._count is None:
            data = data.lstrip(SPACE)
            if not data:
                return
            self._count = _counter(data[:1])
        ended = self._count(data)
        self.events += ended.events
        self.left = self.left + len(data) if ended.left is None else ended.left


def _counter(first: bytes) -> Callable[[bytes], Ended]:
    """Choose by the first byte; a message of an AWS event stream begins with 0, by its length."""
    if first == b"\0":
        messages = AwsEventStream()
        return lambda data: Ended(len(messages.feed(data)), 0)
    if first == b"[":
        return _Elements().feed
    return _lines if first == b"{" else _BlankLines().feed


def _lines(data: bytes) -> Ended:
    end = data.rfind(b"\n")
    return Ended(data.count(b"\n"), None if end < 0 else len(data) - end - 1)


class _Elements:
    """Those of a JSON array."""

    def __init__(self) -> None:
        self._array = JsonArray()

    def feed(self, data: bytes) -> Ended:
        ended: list[None] = []
        self._array.feed(data, lambda element, name: ended.append(None))
        return Ended(len(ended), 0)


class _BlankLines:
    """Ends of server-sent events: LF, CRLF and CR."""

    def __init__(self) -> None:
        self._tail = b""
        self._left = 0
        self._is_half_end = False

    def feed(self, data: bytes) -> Ended:
        if self._is_half_end:  # of a CRLF that was taken for a CR
            data = data.removeprefix(b"\n")
        text = self._tail + data
        ends = [match.end() for match in _BLANK_LINE.finditer(text)]
        end = ends[-1] if ends else 0
        self._left = len(text) - end if ends else self._left + len(data)
        self._is_half_end = self._left == 0 and text.endswith(b"\r")
        self._tail = text[max(end, len(text) - _BYTES_BEFORE_LAST) :]
        return Ended(len(ends), self._left)
