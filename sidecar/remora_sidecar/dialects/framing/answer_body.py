"""An answer's body as JSON objects: one of a JSON body, or one for each event or line of a stream.

Dialects give it the bytes and get objects; what the objects mean it does not know. JSON and SSE
are told apart by the first byte, because providers' content types are not always true.
"""

from remora_sidecar.dialects.base import HELD_ANSWER_LIMIT_BYTES, Completeness
from remora_sidecar.dialects.framing.json_array import JsonArray
from remora_sidecar.dialects.framing.json_lines import MEDIA_TYPES, JsonLines
from remora_sidecar.dialects.framing.json_skim import Skimmer
from remora_sidecar.dialects.framing.json_values import UNREADABLE, parse_json
from remora_sidecar.dialects.framing.long_lines import LongLines
from remora_sidecar.dialects.framing.sse import Event, EventStream
from remora_sidecar.dialects.framing.take import Take
from remora_sidecar.model.exchange import AnswerHead, header

_FIELD_BEGINS = b":deir"  # a comment, data, event, id, retry
_SPACE = b" \t\r\n\xef\xbb\xbf"


class JsonBody:
    """A body of one JSON value, held to be read at its end."""

    ended = False

    def __init__(self, limit: int) -> None:
        """Hold at most `limit` bytes; a larger body is not read."""
        self.problem = ""
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes, _: Take) -> None:
        """Take the next bytes."""
        if self.problem:
            return
        self._held += data
        if len(self._held) > self._limit:
            self.problem = f"answer is larger than {self._limit} bytes"
            self._held.clear()

    def finish(self, take: Take) -> Completeness:
        """Read the body; well-formed JSON is whole."""
        if self.problem:
            return Completeness.UNKNOWN
        text = self._held.lstrip(_SPACE)
        value = parse_json(text)
        if value is UNREADABLE:
            self.problem = "answer is no JSON"
            return Completeness.CUT if text.startswith((b"{", b"[")) else Completeness.UNKNOWN
        for item in value[:1] if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                take(item, b"")
        return Completeness.WHOLE


class SseBody:
    """A stream of events, each with one JSON object; only an unfinished event is held."""

    def __init__(self, sentinel: bytes) -> None:
        """Expect `sentinel` as the data of the last event."""
        self.ended = False
        self.is_torn = False
        self._sentinel = sentinel
        self._stream = EventStream()

    @property
    def problem(self) -> str:
        """What could not be read, if anything."""
        skipped = self._stream.skipped
        return f"{skipped} events were too large to be read" if skipped else ""

    @property
    def skipped(self) -> Event | None:
        """The front of the last event that was too large to be read."""
        return self._stream.last_skipped

    def feed(self, data: bytes, take: Take) -> None:
        """Take the next bytes and hand on the objects that they complete."""
        for event in self._stream.feed(data):
            self._read(event, take)

    def finish(self, take: Take) -> Completeness:
        """Hand on what an event without its end said; whole if the sentinel was seen."""
        for event in self._stream.flush():
            self.is_torn = not self._read(event, take)
        return Completeness.WHOLE if self.ended else Completeness.CUT

    def _read(self, event: Event, take: Take) -> bool:
        """Hand on what an event says; false if it can't be read."""
        data, name = event
        if self._sentinel and data.strip() == self._sentinel:
            self.ended = True
            return True
        value = parse_json(data)
        if isinstance(value, dict):
            take(value, name)
        elif name == b"error" and data:
            take({"error": data[:4000].decode("utf-8", "replace")}, name)
        return value is not UNREADABLE or self.ended


_Body = JsonBody | SseBody | JsonLines | JsonArray
_STREAMS = (SseBody, JsonLines, JsonArray)


class AnswerBody:
    """JSON or SSE, as the first byte tells; or what else streams of the dialect are made of.

    Attributes:
        is_stream: The answer turned out to be a stream.
        is_array: It turned out to be a stream that is one JSON array.
    """

    def __init__(
        self,
        head: AnswerHead,
        *,
        stream: bool,
        sentinel: bytes = b"",
        limit: int = HELD_ANSWER_LIMIT_BYTES,
        lines: bool = False,
        arrays: bool = False,
        skim: bool = False,
        skim_long: bool = False,
    ) -> None:
        """Stand before the first byte.

        Args:
            head: The answer's head.
            stream: A stream was asked for.
            sentinel: Data of the event that ends a stream.
            limit: The most bytes of a JSON body to hold.
            lines: A stream may be of lines of JSON.
            arrays: A stream may be one JSON array.
            skim: Take long strings and numbers in arrays out before anything is held.
            skim_long: Take them out of long lines only, and of long elements of an array.
        """
        self._head = head
        self._stream = stream
        self._sentinel = sentinel
        self._limit = limit
        self._lines = lines
        self._arrays = arrays
        self._skimmer = Skimmer() if skim else LongLines() if skim_long else None
        self._body: _Body | None = None
        self.is_stream = False
        self.is_array = False

    @property
    def is_torn(self) -> bool:
        """Whether the end of a stream left an event that can't be read, or an array open."""
        body = self._body
        return body.is_torn if isinstance(body, SseBody) else self.is_array and not self.ended

    @property
    def begun(self) -> bool:
        """Whether more than white space was seen."""
        return self._body is not None

    def has_said(self, has_output: bool) -> bool:
        """Tell whether the model said something.

        Args:
            has_output: Whether an event of a stream carried output; a success that is no
                stream says something with its first byte.
        """
        return has_output if self.is_stream else self.begun and self._head.status < 400

    @property
    def ended(self) -> bool:
        """Whether the sentinel, or the bracket that closes an array, was seen."""
        return self._body is not None and self._body.ended

    @property
    def problem(self) -> str:
        """Why not all of it could be read; empty if it could."""
        return "answer has no body" if self._body is None else self._body.problem

    @property
    def skipped(self) -> Event | None:
        """The front of the last event that was too large to be read; None if none was."""
        return self._body.skipped if isinstance(self._body, SseBody) else None

    def feed(self, data: bytes, take: Take) -> None:
        """Take the next decoded bytes; `take` gets the objects that they complete."""
        if self._body is None:
            data = data.lstrip(_SPACE)
            if not data:
                return
            self._body = self._told_by(data[:1])
            self.is_stream = isinstance(self._body, _STREAMS)
            self.is_array = isinstance(self._body, JsonArray)
            if self.is_array:
                self._skimmer = None  # does so itself: an array need not have lines
        self._body.feed(data if self._skimmer is None else self._skimmer.feed(data), take)

    def finish(self, take: Take) -> Completeness:
        """Take the end of the body; say whether the format's own end was seen."""
        if self._body is not None:
            if self._skimmer is not None:
                self._body.feed(self._skimmer.flush(), take)
            return self._body.finish(take)
        # Nothing came through: of an encoded body that may be our decoder's fault.
        is_encoded = header(self._head.headers, b"content-encoding") is not None
        cut = self._head.status == 200 and not is_encoded
        return Completeness.CUT if cut else Completeness.UNKNOWN

    def _told_by(self, first: bytes) -> _Body:
        content_type = (header(self._head.headers, b"content-type") or "").lower()
        asked = self._stream and self._head.status < 400
        if first not in b"{[":
            says_stream = content_type.startswith("text/event-stream")
            if says_stream or (asked and first in _FIELD_BEGINS):
                return SseBody(self._sentinel)
        elif self._lines and (asked or content_type.startswith(MEDIA_TYPES)):
            return JsonLines()
        elif self._arrays and asked and first == b"[":
            return JsonArray()
        return JsonBody(self._limit)
