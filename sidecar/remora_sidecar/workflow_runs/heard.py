"""What a model's answer to a question says, and how it ended. Pure."""

from dataclasses import dataclass, field
from typing import Final

from remora.outcomes import finishing
from remora_sidecar.dialects.answer_text import AnswerText
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.dialects.said_text import LIMIT_CHARACTERS
from remora_sidecar.model.exchange import AnswerHead

MAX_BYTES: Final = 256 * 1024 * 1024
"""Of one answer as it is sent: a stream takes some 200 bytes for each token."""

_ASKED: Final = CallRequest("chat", stream=True, states_usage=False)


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
    """Reads one answer, whole or streamed, as the dialect has it; bounded, however long it is."""

    def __init__(self, head: AnswerHead, dialect: str) -> None:
        """Stand before the first byte.

        Args:
            head: Of the answer.
            dialect: Of the request: that of its surface.
        """
        self._text = AnswerText(head, dialect, stream=True)
        self._reader = DIALECTS[dialect].answer_reader(head, _ASKED)
        self._status = head.status
        self._room = MAX_BYTES

    @property
    def is_too_long(self) -> bool:
        """Whether more was said than is kept, so that no more need be fed."""
        return self._room < 0 or self._text.said.is_partial

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes of the body."""
        self._room -= len(data)
        if not self.is_too_long:
            self._text.feed(data)
            self._reader.feed(data)

    def finish(self) -> Said:
        """Say what was heard. Called once, after the last byte or where the answer broke off."""
        said, facts = self._text.finish(), self._reader.finish()
        reason = facts.finish_reason
        return Said(
            said.text,
            finishing.is_truncated(reason),
            said.is_refused or finishing.is_refused(reason),
            self._problem(facts),
        )

    def _problem(self, facts: AnswerFacts) -> str:
        if self._status >= 400:
            return f"the provider answered with status {self._status}"
        if facts.error is not None:
            return "the provider ended the answer with an error"
        if self.is_too_long:
            return f"the answer is longer than {LIMIT_CHARACTERS} characters"
        if finishing.is_broken(facts.finish_reason):
            return "the provider says that the model's answer is malformed"
        if not facts.finish_reason and facts.completeness is not Completeness.WHOLE:
            return "the answer broke off before its end"
        return "" if self._text.is_readable else "the answer is not of its dialect"
