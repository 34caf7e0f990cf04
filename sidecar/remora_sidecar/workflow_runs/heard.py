"""What a model's answer to a question says, and how it ended. Pure.

The dialects' own readers keep figures for the record, which the engine reads; this takes the text
and the ending from the same objects, parsed once, since a stream has one for each token. Like
`AnswerText` it tells shapes by the names of their members.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remora.outcomes import finishing
from remora_sidecar.dialects.answer_text import HELD_BYTES
from remora_sidecar.dialects.base import Completeness
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.said_text import LIMIT_CHARACTERS, SaidText
from remora_sidecar.model.exchange import AnswerHead

MAX_BYTES: Final = 256 * 1024 * 1024
"""Of one answer as it is sent: a stream takes some 200 bytes for each token."""

_THOUGHT: Final = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
"""What servers without a parser for a model's reasoning leave in front of its answer."""

_REASONS: Final = ("finish_reason", "stop_reason", "finishReason")


@dataclass(frozen=True, slots=True)
class Said:
    """What was heard.

    Attributes:
        text: What the model said.
        was_cut: It ended because it was as long as it could be.
        is_refused: The model, or a filter of the provider's, would not answer.
        problem: Why the text can't be used, without any word of it; empty if it can.
    """

    text: str = field(repr=False)
    was_cut: bool = False
    is_refused: bool = False
    problem: str = ""


class Heard:
    """Reads one answer, whole or streamed: of OpenAI's chats, Anthropic's messages, Gemini.

    Bounded, however long the answer is.
    """

    def __init__(self, head: AnswerHead, dialect: str) -> None:
        """Stand before the first byte.

        Args:
            head: Of the answer.
            dialect: Of the request: that of its surface.
        """
        self._status = head.status
        self._body = AnswerBody(
            head,
            stream=True,
            sentinel=b"[DONE]",
            limit=HELD_BYTES,
            arrays=dialect == "gemini-generate",
        )
        self._said = SaidText()
        self._ending = _Ending()
        self._room = MAX_BYTES

    @property
    def is_too_long(self) -> bool:
        """Whether more was said than is kept, so that no more need be fed."""
        return self._room < 0 or self._said.is_partial

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes of the body."""
        self._room -= len(data)
        if not self.is_too_long:
            self._body.feed(data, self._take)

    def finish(self) -> Said:
        """Say what was heard. Called once, after the last byte or where the answer broke off."""
        completeness = Completeness.CUT
        if not self.is_too_long:
            completeness = self._body.finish(self._take)
        reason = self._ending.reason
        return Said(
            _THOUGHT.sub("", self._said.text),
            finishing.is_truncated(reason),
            self._said.is_refused or finishing.is_refused(reason),
            self._problem(completeness),
        )

    def _take(self, value: Mapping[str, Any], event: bytes) -> None:
        self._said.take(value)
        self._ending.take(value, event)

    def _problem(self, completeness: Completeness) -> str:
        if self._status >= 400:
            return f"the provider answered with status {self._status}"
        if self._ending.is_error:
            return "the provider ended the answer with an error"
        if self.is_too_long:
            return f"the answer is longer than {LIMIT_CHARACTERS} characters"
        if finishing.is_broken(self._ending.reason):
            return "the provider says that the model's answer is malformed"
        has_ended = self._ending.reason or self._said.is_refused
        if not has_ended and completeness is not Completeness.WHOLE:
            return "the answer broke off before its end"
        return "the answer can't be read: it is not of its format" if self._body.problem else ""


class _Ending:
    """Why an answer ended, as its objects say."""

    def __init__(self) -> None:
        self.reason = ""
        self.is_error = False

    def take(self, value: Mapping[str, Any], event: bytes) -> None:
        """Take a whole answer, or an event or chunk of one."""
        if value.get("error") or event == b"error" or "error" in _kinds(value):
            self.is_error = True
        holder = _holder(value)
        for name in _REASONS:
            reason = holder.get(name)
            if type(reason) is str and reason:
                self.reason = reason
        if holder.get("error"):  # of a choice, as OpenRouter has it
            self.is_error = True


def _kinds(value: Mapping[str, Any]) -> tuple[object, object]:
    return value.get("type"), value.get("object")


def _holder(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find what says why the answer ended: its first choice, a message's delta, the message."""
    choices = value.get("choices") or value.get("candidates")
    if choices and type(choices) is list:
        first = choices[0]
        is_first = isinstance(first, dict) and not first.get("index")
        return first if is_first else {}
    delta = value.get("delta")
    return delta if isinstance(delta, dict) else value
