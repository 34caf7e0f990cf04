"""What rules may look at in a request, whatever its dialect. Nothing is read before it is asked.

Rules are asked for every call, and most look at the model alone: the body is parsed at most
once, and each part worked out at most once. No bytes make any of it raise.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.parameters import Parameters, overlaid
from remora_sidecar.dialects.request_format import response_format
from remora_sidecar.dialects.request_limits import choices_asked, output_token_limit, tool_names
from remora_sidecar.dialects.request_messages import (
    ASSISTANT,
    SYSTEM,
    TOOL,
    Bounded,
    Message,
    bounded,
    messages_of,
    opened,
)
from remora_sidecar.dialects.request_text import estimated_tokens
from remora_sidecar.model.exchange import RequestHead

_FORM_FIELDS: Final = frozenset({"prompt", "n"})
"""Read from forms with files, which calls for pictures may be."""

_BEFORE_THE_USER: Final = frozenset({SYSTEM, ASSISTANT, TOOL})


class RequestView:
    """A request as rules see it; never changes."""

    # Kept by hand, as it is worked out: `cached_property` takes as long as some of that does.
    _whole: Mapping[str, Any] | None = None
    _opened: Mapping[str, Any] | None = None
    _bounded_messages: Bounded | None = None
    _tools: tuple[str, ...] | None = None
    _output_tokens: tuple[int | None] | None = None
    _choices = 0
    _input_tokens = -1
    _conversation: str | None = None

    def __init__(self, head: RequestHead, body: bytes) -> None:
        """Look at a request.

        Args:
            head: Its head.
            body: Its whole body, undone of any content-encoding; empty where it was not held.
        """
        self._head = head
        self._body = body

    def let_go(self) -> None:
        """Hold the parsed body no longer; what was worked out stays, the rest is read anew."""
        self._whole = self._opened = None

    @property
    def asked(self) -> Mapping[str, Any]:
        """The request as a JSON object; empty if it is none."""
        whole = self._whole
        if whole is None:
            whole = self._whole = read_asked(self._head, self._body, _FORM_FIELDS)[0]
        return whole

    @property
    def _asked(self) -> Mapping[str, Any]:
        asked = self._opened
        if asked is None:
            asked = self._opened = opened(self.asked)
        return asked

    @property
    def _bounded(self) -> Bounded:
        found = self._bounded_messages
        if found is None:
            found = self._bounded_messages = bounded(tuple(messages_of(self._asked)))
        return found

    @property
    def messages(self) -> tuple[Message, ...]:
        """System prompt and messages in order; empty where nothing is asked in words."""
        return self._bounded.messages

    @property
    def messages_cut(self) -> bool:
        """Whether messages or texts were left out of `messages` for its bounds."""
        return self._bounded.cut

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that the model may call."""
        if self._tools is None:
            self._tools = tool_names(self._asked)
        return self._tools

    @property
    def max_output_tokens(self) -> int | None:
        """How long an answer may be at most; None where the request does not say."""
        if self._output_tokens is None:
            self._output_tokens = (output_token_limit(self._asked),)
        return self._output_tokens[0]

    @property
    def response_format(self) -> str:
        """The form that the answer is to have: ``json_schema``, ``json_object``; else empty."""
        return response_format(self._asked)

    @property
    def opening_text(self) -> str:
        """The words that a conversation began with: those that `conversation_key` stands for."""
        texts = []
        for message in self.messages:
            texts.append(message.text)
            if message.role not in _BEFORE_THE_USER:
                break
        return "\n".join(texts)

    @property
    def choices(self) -> int:
        """How many answers are made; at least one."""
        if not self._choices:
            self._choices = choices_asked(self._asked)
        return self._choices

    def limits(self, wanted: Parameters) -> tuple[int | None, int]:
        """How long an answer may be at most, and how many are made, with parameters set."""
        if not wanted.values:
            return self.max_output_tokens, self.choices
        asked = opened(overlaid(self.asked, wanted))
        return output_token_limit(asked), choices_asked(asked)

    @property
    def estimated_input_tokens(self) -> int:
        """A guess at the prompt's tokens; 0 if there is none that can be read."""
        if self._input_tokens < 0:
            self._input_tokens = estimated_tokens(self.asked)
        return self._input_tokens

    @property
    def conversation_key(self) -> str:
        """What stays the same as a conversation grows, as 32 hex digits; empty without messages.

        A digest of the messages up to the first of a user's: system prompt, greeting, question.
        No model or setting has a part in it.
        """
        if self._conversation is None:
            self._conversation = _conversation_key(messages_of(self._asked))
        return self._conversation


def _conversation_key(messages: Iterator[Message]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    message = None
    for message in messages:
        for part in message:
            data = part.encode("utf-8", "replace")
            digest.update(len(data).to_bytes(8, "big") + data)
        if message.role not in _BEFORE_THE_USER:
            break
    return digest.hexdigest() if message is not None else ""
