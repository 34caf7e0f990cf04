"""`openai-images`: pictures made, edited and varied by OpenAI's Images API and its kin.

The GPT Image models state tokens, in a JSON answer or in the last event of a stream; DALL·E and
what others serve under these paths state nothing (OpenAI's API reference, "Images"). Answers are
megabytes of base64, which are read without it. Edits come as forms with files.
"""

import re
from typing import Final

from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.request_fields import is_true, number, read_asked
from remora_sidecar.dialects.openai.answer import OpenAIReader, is_posted_to, requested_model
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-images"

SEVERAL: Final = "several"
"""Variant of a call for more pictures than one: an event for the first ends no stream."""

_SUFFIXES = ("/images/generations", "/images/edits", "/images/variations")
_WANTED = frozenset({"model", "n", "stream"})
_STATES_USAGE = re.compile(r"gpt-image", re.IGNORECASE)


class OpenAIImages:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to ``/images/generations``, ``/edits`` and ``/variations``."""
        return is_posted_to(head, *_SUFFIXES)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode from JSON or form; the model may be left to the provider."""
        asked, problem = read_asked(head, body, _WANTED)
        model = requested_model(head, asked)
        return CallRequest(
            "image_generation",
            model=model,
            stream=is_true(asked.get("stream")),
            states_usage=_STATES_USAGE.search(model) is not None,
            problem=problem,
            variant=SEVERAL if (number(asked.get("n")) or 1) > 1 else "",
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "ImagesReader":
        """Make the reader of the answer."""
        return ImagesReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)


class ImagesReader(OpenAIReader):
    """Watches one answer."""

    last_events = frozenset({"image_generation.completed", "image_edit.completed"})
    skims = True

    @property
    def ended(self) -> bool:
        """Whether the stream's last event was seen, as far as one tells."""
        return super().ended and (self._body.ended or self._request.variant != SEVERAL)
