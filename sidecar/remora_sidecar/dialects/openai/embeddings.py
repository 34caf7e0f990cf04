"""`openai-embeddings`: OpenAI's Embeddings, and those of the many that took their form over.

OpenAI, Azure deployments, Mistral, Together, Fireworks and others; so too Voyage and Jina, with
their calls for pictures and for chunks in context. Voyage states only a total, which is all
prompt (docs.voyageai.com, "Embeddings API"). Answers are megabytes of numbers, as digits or as
base64: they are read without them, so that there is no size past which usage is lost.
"""

from collections.abc import Mapping
from typing import Any

from remora.records import Usage
from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.json_values import count
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.openai.answer import OpenAIReader, is_posted_to, requested_model
from remora_sidecar.dialects.openai.usage import read_usage, states_tokens
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-embeddings"

_SUFFIXES = ("/embeddings", "/multimodalembeddings", "/contextualizedembeddings")


class OpenAIEmbeddings:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path that ends in ``/embeddings``, or in Voyage's other two."""
        return is_posted_to(head, *_SUFFIXES)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read the model."""
        asked, problem = read_asked(head, body)
        return CallRequest(
            "embeddings",
            model=requested_model(head, asked),
            problem=problem,
            samples=False,
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "EmbeddingsReader":
        """Make the reader of the answer."""
        return EmbeddingsReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)


class EmbeddingsReader(OpenAIReader):
    """Watches one answer."""

    usage_words = "prompt_tokens, input_tokens, total_tokens"
    skims = True

    def _states(self, usage: object) -> bool:
        return states_tokens(usage) or (isinstance(usage, dict) and "total_tokens" in usage)

    def _read_usage(self, usage: Mapping[str, Any]) -> Usage | None:
        stated = read_usage(usage)
        total = count(usage.get("total_tokens"))
        return stated or (Usage(input_tokens=total) if total is not None else None)
