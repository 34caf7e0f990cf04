"""Reads a stream of server-sent events (WHATWG HTML §9.2), however its bytes are cut. Pure."""

import re
from typing import Final, NamedTuple

from remora.errors import Unavailable

MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""Of one event: what is longer is no event of a sidecar's."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


class ServerSentEvent(NamedTuple):
    """One event.

    Attributes:
        id: Of the last event that named one, this one included.
        type: ``message`` where the stream names none.
        data: Its lines, joined.
    """

    id: str
    type: str
    data: str


class EventReader:
    """Takes bytes as they come, and gives the events that are whole."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._rest = bytearray()
        self._begun = False
        self._skip_newline = False
        self._data: list[str] = []
        self._type = ""
        self._id = ""
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Give the events that end in a chunk.

        Raises:
            Unavailable: An event is longer than any that a sidecar sends.
        """
        events = []
        for line in self._lines(chunk):
            if (event := self._read(line)) is not None:
                events.append(event)
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Cut what came into lines; a carriage return ends one whether or not a newline follows."""
        if self._skip_newline and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._skip_newline = False
        self._rest += chunk
        if len(self._rest) + self._held_bytes > MAX_EVENT_BYTES:
            raise Unavailable(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        if not _LINE_END.search(chunk):
            return []
        *lines, rest = _LINE_END.split(bytes(self._rest))
        self._skip_newline = self._rest.endswith(b"\r")
        self._rest = bytearray(rest)
        if not self._begun and lines:
            self._begun = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        return lines

    def _read(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._event()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._held_bytes += len(line)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _event(self) -> ServerSentEvent | None:
        """Give the event that an empty line ends; one without data is none."""
        data, kind = self._data, self._type
        self._data, self._type, self._held_bytes = [], "", 0
        return ServerSentEvent(self._id, kind or "message", "\n".join(data)) if data else None
