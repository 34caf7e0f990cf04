"""The text of an answer, whatever its dialect: for checks that look at it once and drop it.

The dialects' own readers keep names and figures, never the text; where a call has a goal this
reads the same bytes beside them. Shapes are told by the names of their members, which no two
dialects use for different things.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.aws_event_stream import AwsEventStream, Kind
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.said_text import SaidText
from remora_sidecar.model.exchange import AnswerHead

HELD_BYTES: Final = 4 * 1024 * 1024
"""Of a JSON answer; a larger one is not looked at."""

_LINES: Final = frozenset({"ollama-chat", "cohere-chat"})
_ARRAYS: Final = frozenset({"gemini-generate"})
_BEDROCK: Final = "bedrock-"
_JSON_BEGINS: Final = b"{[ \t\r\n\xef"


class AnswerText:
    """Collects what the model said in one answer; bounded, however long that is."""

    def __init__(self, head: AnswerHead, dialect: str, *, stream: bool) -> None:
        """Stand before the first byte.

        Args:
            head: Of the answer.
            dialect: Its name.
            stream: A stream was asked for.
        """
        self.said = SaidText()
        self._events: AwsEventStream | None = None
        self._may_be_events = dialect.startswith(_BEDROCK) and stream
        self._body = AnswerBody(
            head,
            stream=stream and not self._may_be_events,
            sentinel=b"[DONE]",
            limit=HELD_BYTES,
            lines=dialect in _LINES,
            arrays=dialect in _ARRAYS,
        )

    @property
    def is_readable(self) -> bool:
        """Whether nothing was met that could not be read, as far as it was fed."""
        problem = self._events.problem if self._events is not None else self._body.problem
        return problem == ""

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes of the body; once enough was said they are passed over."""
        if self.said.is_partial:
            return
        if self._may_be_events and data:
            self._may_be_events = False
            self._events = None if data[0] in _JSON_BEGINS else AwsEventStream()
        if self._events is None:
            self._body.feed(data, self.said.take)
        else:
            _feed_events(self._events, data, self.said.take_event)

    def finish(self) -> SaidText:
        """Give what was said. Called once, after the last byte."""
        if self._events is None and not self.said.is_partial:
            self._body.finish(self.said.take)
        return self.said


def _feed_events(
    events: AwsEventStream, data: bytes, take: Callable[[str, Mapping[str, Any]], None]
) -> None:
    for message in events.feed(data):
        if message.headers.kind is Kind.EVENT:
            value = parse_json(message.payload)
            if isinstance(value, dict):
                take(message.headers.name, value)
