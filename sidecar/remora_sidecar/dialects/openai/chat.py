"""`openai-chat`: OpenAI's Chat Completions, the wire format that nearly every provider offers.

Reads JSON answers and SSE streams of OpenAI, Azure OpenAI, Mistral, Groq, Together, DeepSeek,
xAI, OpenRouter, Google's compatible form, vLLM, Ollama and their kin by the format, not the host.
Beside the making of completions it claims what is done with those that OpenAI stored.
"""

import re
from collections.abc import Mapping

from remora.frozen import by_name
from remora_sidecar.dialects.base import AnswerReader, CallRequest, samples
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.openai.answer import is_posted_to, requested_model
from remora_sidecar.dialects.openai.choices import GOOGLE, ChoicesReader, states_usage
from remora_sidecar.dialects.unknown import UnknownReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-chat"

_CHAT = "chat"
_RETRIEVE = "chat.completions.retrieve"
_UPDATE = "chat.completions.update"
_READS_BACK = frozenset({_RETRIEVE, _UPDATE})

_SUFFIX = "/chat/completions"
_STORED_PATH = re.compile(r"/chat/completions(/[^/]+(/messages)?)?/*$", re.IGNORECASE)
_STORED: Mapping[tuple[str, bool, bool], str] = {
    ("GET", False, False): "chat.completions.list",
    ("GET", True, False): _RETRIEVE,
    ("GET", True, True): "chat.completions.messages",
    ("POST", True, False): _UPDATE,
    ("DELETE", True, False): "chat.completions.delete",
}
"""By method, and whether the path names a completion and its messages."""

_asked = by_name(CallRequest)

_GOOGLE_PATH, _VERTEX_PATH = "/v1beta/openai/", "/endpoints/openapi/"


def _variant(head: RequestHead) -> str:
    path = head.path
    is_google = _GOOGLE_PATH in path or _VERTEX_PATH in path
    is_google = is_google or head.host.endswith(".googleapis.com")
    return GOOGLE if is_google else ""


def _operation(head: RequestHead) -> str:
    """Tell the operation by method and path; empty for a call of another dialect."""
    if is_posted_to(head, _SUFFIX):
        return _CHAT
    stored = _STORED_PATH.search(head.path)
    return _STORED.get((head.method, bool(stored[1]), bool(stored[2])), "") if stored else ""


class OpenAIChat:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path that ends in ``/chat/completions``, and stored ones."""
        return _operation(head) != ""

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode; a stream states usage if it was asked to."""
        operation = _operation(head)
        if operation not in ("", _CHAT):  # done with a stored one
            reads_back = operation in _READS_BACK
            return CallRequest(operation, states_usage=reads_back, reads_back=reads_back)
        asked, problem = read_asked(head, body)
        return _asked(
            _CHAT,
            model=requested_model(head, asked),
            stream=asked.get("stream") is True,
            states_usage=states_usage(asked),
            problem=problem,
            variant=_variant(head),
            samples=samples(asked.get("temperature"), asked.get("seed"), asked.get("n")),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> AnswerReader:
        """Make the reader of the answer; lists and deletions are no completions."""
        if request.operation == _CHAT or request.reads_back:
            return ChoicesReader(head, request)
        return UnknownReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)
