"""The body of an answer of Bedrock's: one JSON object, or an AWS event stream.

Told apart by the first byte: a message of a stream begins with its length, of which the first
byte is 0 up to 16 MiB. What the objects mean it does not know.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from remora.records import CallError
from remora_sidecar.dialects.base import Completeness
from remora_sidecar.dialects.bedrock.errors import ERROR_TYPE, read_answer_error, read_frame_error
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.aws_event_stream import MEDIA_TYPE, AwsEventStream, Kind
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.framing.take import Take
from remora_sidecar.model.exchange import AnswerHead, header

_JSON_BEGINS: Final = b"{[ \t\r\n\xef"

TakeAnswer = Callable[[Mapping[str, Any]], None]
"""Takes the object of a JSON answer."""

TakeEvent = Callable[[str, Mapping[str, Any]], None]
"""Takes the type of an event and the object in its payload."""


class BedrockBody:
    """JSON or event stream; reads errors itself, since all of Bedrock's are alike.

    Attributes:
        error: The first error stated.
    """

    def __init__(
        self,
        head: AnswerHead,
        *,
        stream: bool,
        skim: bool = False,
    ) -> None:
        """Stand before the first byte.

        Args:
            head: The answer's head.
            stream: A stream was asked for.
            skim: Take long strings and numbers in arrays out of JSON before anything is held.
        """
        self.error: CallError | None = None
        self._head = head
        self._failed = head.status >= 400
        self._expects_events = not self._failed and (stream or _says_stream(head))
        self._json = AnswerBody(head, stream=False, skim=skim)
        self._events: AwsEventStream | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the answer turned out to be a stream."""
        return self._events is not None

    @property
    def begun(self) -> bool:
        """Whether anything was seen."""
        return self.is_stream or self._json.begun

    def has_said(self, has_output: bool) -> bool:
        """Tell whether the model said something.

        Args:
            has_output: Whether an event of a stream carried output; a success that is no
                stream says something with its first byte.
        """
        return has_output if self.is_stream else self.begun and self._head.status < 400

    @property
    def is_whole(self) -> bool:
        """Whether every byte of a stream so far belongs to an undamaged whole message."""
        return self._events is not None and self._events.is_whole

    @property
    def problem(self) -> str:
        """Why not all of it could be read; empty if it could."""
        return self._json.problem if self._events is None else self._events.problem

    def feed(self, data: bytes, take: TakeAnswer, take_event: TakeEvent) -> None:
        """Take the next decoded bytes and hand on the objects that they complete.

        Args:
            data: The bytes.
            take: Gets the object of a successful JSON answer.
            take_event: Gets the events of a stream.
        """
        if self._expects_events and data:  # the first byte tells
            self._expects_events = False
            self._events = AwsEventStream() if data[0] not in _JSON_BEGINS else None
        if self._events is None:
            self._json.feed(data, self._json_to(take))
        else:
            self._feed_events(self._events, data, take_event)

    def finish(self, take: TakeAnswer) -> Completeness:
        """Take the end of the body; of a stream the caller knows whether it came to its end."""
        if self._events is not None:
            return Completeness.CUT
        completeness = self._json.finish(self._json_to(take))
        if self.error is None and header(self._head.headers, ERROR_TYPE) and self._failed:
            self.error = read_answer_error(self._head, {})
        return completeness

    def _feed_events(self, events: AwsEventStream, data: bytes, take_event: TakeEvent) -> None:
        for message in events.feed(data):
            if message.headers.kind is not Kind.EVENT:
                self.error = self.error or read_frame_error(message)
                continue
            value = parse_json(message.payload)
            if isinstance(value, dict):
                take_event(message.headers.name, value)

    def _json_to(self, take: TakeAnswer) -> Take:
        if not self._failed:
            return lambda value, event: take(value)
        return self._take_error

    def _take_error(self, value: Mapping[str, Any], event: bytes) -> None:
        self.error = read_answer_error(self._head, value)


def _says_stream(head: AnswerHead) -> bool:
    return (header(head.headers, b"content-type") or "").lower().startswith(MEDIA_TYPE)
