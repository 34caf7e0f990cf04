"""Server-sent events: bytes of a stream in, events out, wherever the bytes were cut.

Follows the event stream format of the WHATWG HTML standard (LF, CRLF and CR, byte order mark,
comments, data of several lines); `id` and `retry` serve reconnecting clients and are passed
over. Every dialect that streams SSE uses it; it knows nothing of what the data mean.

Own code because the kept libraries (httpx-sse, sseclient, the decoders inside the SDKs) take
lines of decoded text, hold an event of any size, and spend Python work on each line; a watcher
beside a stream needs bytes, a bound, and newline search in C.
"""

from typing import NamedTuple

from remora_sidecar.dialects.base import HELD_EVENT_LIMIT_BYTES

FRONT_BYTES = 1024
"""How much of the front of an event that is too large is kept, to tell what it was."""

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One dispatched event.

    Attributes:
        data: The data lines, joined by LF; not decoded.
        name: The event's type; empty where none was given.
    """

    data: bytes
    name: bytes = b""


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _read_block(block: bytes) -> Event | None:
    data: list[bytes] = []
    event_name = b""
    for line in block.split(b"\n"):
        name, value = _field(line)
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event_name = value
    return Event(b"\n".join(data), event_name) if data else None


def _is_one_line(data: bytes) -> bool:
    """Tell whether this is an event of one line, ended as Google ends its events."""
    return data.endswith(b"\r\n\r\n") and data.find(b"\r") == data.find(b"\n") - 1 == len(data) - 4


class EventStream:
    """Cuts a stream into events; holds at most one unfinished event of bounded size.

    Attributes:
        skipped: Events larger than the limit, which were not dispatched.
        last_skipped: The last of those that came to its end: its name, if that stood in front,
            and the first of its data.
    """

    def __init__(self, limit: int = HELD_EVENT_LIMIT_BYTES) -> None:
        """Start before the first byte; `limit` bounds the bytes held for one event."""
        self.skipped = 0
        self.last_skipped: Event | None = None
        self._limit = limit
        self._held = bytearray()
        self._searched = 0
        self._begun = False
        self._after_cr = False
        self._skipping = False
        self._front: Event | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the events that they complete."""
        held = self._held
        if self._after_cr or b"\r" in data:
            if not (held or self._after_cr) and _is_one_line(data):
                return self._events([data[:-4]])
            data = self._with_line_feeds(data)
        if not held and data.endswith(b"\n\n"):  # what providers send: whole events
            return self._events(data[:-2].split(b"\n\n"))
        held += data
        end = held.rfind(b"\n\n", max(self._searched - 1, 0))
        if end < 0:
            self._searched = len(held)
            self._bound_held()
            return []
        # A pair found from the right may split a longer run of line ends: blank lines in front
        # of the next event mean nothing, so the run's parity does not matter.
        blocks = bytes(held[:end]).split(b"\n\n")
        del held[: end + 2]
        self._searched = len(held)
        events = self._events(blocks)
        self._bound_held()
        return events

    def flush(self) -> list[Event]:
        """Return the event that the end of the stream left unterminated, if any.

        A browser drops it; a watcher wants to know what was said.
        """
        block = bytes(self._held)
        self._held.clear()
        return [] if self._skipping else self._events([block])

    def _with_line_feeds(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        self._after_cr = data.endswith(b"\r")
        data = data.replace(b"\r\n", b"\n")
        return data.replace(b"\r", b"\n") if b"\r" in data else data

    def _is_oversize(self, block: bytes | bytearray) -> bool:
        return len(block) > self._limit and len(self._text(block)) > self._limit

    def _text(self, block: bytes | bytearray) -> bytes:
        text = bytes(block.strip(b"\n"))
        if not self._begun:
            # A byte order mark, or what has come of one, is no part of an event.
            text = b"" if _BOM.startswith(text) else text.removeprefix(_BOM)
        return text

    def _front_of(self, block: bytes | bytearray) -> Event | None:
        # No more than the limit, which is there wherever the event was cut.
        return _read_block(self._text(block)[: min(FRONT_BYTES, self._limit)])

    def _bound_held(self) -> None:
        if not self._skipping:
            if not self._is_oversize(self._held):
                return
            self._front = self._front_of(self._held)
            self._skipping = self._begun = True
            self.skipped += 1
        # The last byte may be the first half of the pair that ends the event.
        del self._held[:-1]
        self._searched = len(self._held)

    def _events(self, blocks: list[bytes]) -> list[Event]:
        if self._skipping:
            self._skipping = False
            self.last_skipped = self._front
            del blocks[0]
        elif not self._begun:
            blocks[0] = blocks[0].removeprefix(_BOM)
            self._begun = True
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block and len(block) <= self._limit:
                events.append(Event(block[6:]))
            elif self._is_oversize(block):
                self.skipped += 1
                self.last_skipped = self._front_of(block)
            elif (event := _read_block(block)) is not None:
                events.append(event)
        return events
