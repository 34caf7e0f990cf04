"""What rules may look at in a request, whatever its dialect. Nothing is read before it is asked.

Rules are asked for every call, and most look at the model alone: the body is parsed at most
once, and each part worked out at most once. No bytes make any of it raise.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from remora_sidecar.dialects.framing.request_fields import read_asked
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

    def __init__(self, head: RequestHead, body: bytes) -> None:
        """Look at a request.

        Args:
            head: Its head.
            body: Its whole body, undone of any content-encoding; empty where it was not held.
        """
        self._head = head
        self._body = body

    @cached_property
    def _whole(self) -> Mapping[str, Any]:
        return read_asked(self._head, self._body, _FORM_FIELDS)[0]

    @property
    def asked(self) -> Mapping[str, Any]:
        """The request as a JSON object; empty if it is none."""
        return self._whole

    @cached_property
    def _asked(self) -> Mapping[str, Any]:
        return opened(self._whole)

    @cached_property
    def _bounded(self) -> Bounded:
        return bounded(tuple(messages_of(self._asked)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """System prompt and messages in order; empty where nothing is asked in words."""
        return self._bounded.messages

    @property
    def messages_cut(self) -> bool:
        """Whether messages or texts were left out of `messages` for its bounds."""
        return self._bounded.cut

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that the model may call."""
        return tool_names(self._asked)

    @cached_property
    def max_output_tokens(self) -> int | None:
        """How long an answer may be at most; None where the request does not say."""
        return output_token_limit(self._asked)

    @cached_property
    def choices(self) -> int:
        """How many answers are made."""
        return choices_asked(self._asked)

    @cached_property
    def estimated_input_tokens(self) -> int:
        """A guess at the prompt's tokens; 0 if there is none that can be read."""
        return estimated_tokens(self._whole)

    @cached_property
    def conversation_key(self) -> str:
        """What stays the same as a conversation grows, as 32 hex digits; empty without messages.

        A digest of the messages up to the first of a user's: system prompt, greeting, question.
        No model or setting has a part in it.
        """
        digest = hashlib.blake2b(digest_size=16)
        message = None
        for message in messages_of(self._asked):
            for part in message:
                data = part.encode("utf-8", "replace")
                digest.update(len(data).to_bytes(8, "big") + data)
            if message.role not in _BEFORE_THE_USER:
                break
        return digest.hexdigest() if message is not None else ""
