"""`openai-completions`: OpenAI's Completions, prompt in and text out, where they are still offered.

OpenAI, Azure deployments, Together, Fireworks, DeepSeek's beta, vLLM, Ollama and others; so too
Mistral's completions in the middle (``/fim/completions``), whose answers are made as chats are.
"""

from collections.abc import Mapping
from typing import Any

from remora_sidecar.dialects.base import CallRequest, samples
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.json_values import count
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.openai.answer import is_posted_to, requested_model
from remora_sidecar.dialects.openai.choices import ChoicesReader, states_usage
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-completions"


def _choices(asked: Mapping[str, Any]) -> int:
    """Count the choices made, of which `best_of` keeps some."""
    return max(count(asked.get("n")) or 1, count(asked.get("best_of")) or 1)


class OpenAICompletions:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path that ends in ``/completions``, but not those of chats."""
        return is_posted_to(head, "/completions") and not is_posted_to(head, "/chat/completions")

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode; a stream states usage if it was asked to."""
        asked, problem = read_asked(head, body)
        return CallRequest(
            "text_completion",
            model=requested_model(head, asked),
            stream=asked.get("stream") is True,
            states_usage=states_usage(asked),
            problem=problem,
            samples=samples(asked.get("temperature"), asked.get("seed"), _choices(asked)),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> ChoicesReader:
        """Make the reader of the answer."""
        return ChoicesReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)
