"""`openai-chat`: OpenAI's Chat Completions, the wire format that nearly every provider offers.

Reads JSON answers and SSE streams of OpenAI, Azure OpenAI, Mistral, Groq, Together, DeepSeek,
xAI, OpenRouter, Google's compatible form, vLLM, Ollama and their kin by the format, not the host.
"""

from remora_sidecar.dialects.base import CallRequest, samples
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.openai_answer import is_posted_to, requested_model
from remora_sidecar.dialects.openai_choices import GOOGLE, ChoicesReader, states_usage
from remora_sidecar.dialects.request_fields import read_asked
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-chat"

_SUFFIX = "/chat/completions"
_GOOGLE_PATHS = ("/v1beta/openai/", "/endpoints/openapi/")


def _variant(head: RequestHead) -> str:
    is_google = head.host.endswith(".googleapis.com") or any(p in head.path for p in _GOOGLE_PATHS)
    return GOOGLE if is_google else ""


class OpenAIChat:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path that ends in ``/chat/completions``."""
        return is_posted_to(head, _SUFFIX)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode; a stream states usage if it was asked to."""
        asked, problem = read_asked(head, body)
        return CallRequest(
            "chat",
            model=requested_model(head, asked),
            stream=asked.get("stream") is True,
            states_usage=states_usage(asked),
            problem=problem,
            variant=_variant(head),
            samples=samples(asked.get("temperature"), asked.get("seed"), asked.get("n")),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> ChoicesReader:
        """Make the reader of the answer."""
        return ChoicesReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)
