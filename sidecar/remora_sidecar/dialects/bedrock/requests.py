"""What a request of InvokeModel asks for, in the words of many vendors.

The address names a model and says nothing of its kind. Ids tell embeddings and pictures; behind
an inference profile or an endpoint only the body's members do.
Formats: docs.aws.amazon.com/bedrock/latest/userguide, "Inference request parameters and response
fields for foundation models".
"""

from collections.abc import Mapping
from typing import Any, Final

from remora_sidecar.dialects.base import samples
from remora_sidecar.dialects.framing.json_values import member

CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
EMBEDDINGS: Final = "embeddings"
RERANK: Final = "rerank"
IMAGES: Final = "image_generation"

_IN_ID: Final = (
    ("embed", EMBEDDINGS),
    ("rerank", RERANK),
    ("stability.", IMAGES),
    ("titan-image", IMAGES),
    ("nova-canvas", IMAGES),
)
_IN_BODY: Final = (
    (frozenset({"singleEmbeddingParams", "segmentedEmbeddingParams"}), EMBEDDINGS),
    (frozenset({"texts", "embedding_types"}), EMBEDDINGS),
    (frozenset({"embeddingTypes", "embeddingConfig", "dimensions", "normalize"}), EMBEDDINGS),
    (frozenset({"documents", "query"}), RERANK),
    (frozenset({"imageGenerationConfig", "text_prompts", "taskType"}), IMAGES),
    (frozenset({"messages", "message"}), CHAT),
    (frozenset({"prompt", "inputText", "inputPrompt"}), TEXT_COMPLETION),
)
"""Members that tell an operation, first match first; `documents` belongs to Cohere's chats too."""

_STATING_NO_TOKENS: Final = frozenset({RERANK, IMAGES})

_BILLED_BY_LENGTH: Final = "twelvelabs."
"""Vendor of models for video, which state no tokens."""


def operation_of(model: str, asked: Mapping[str, Any]) -> str:
    """Tell the operation by the model's id, else by the members of the body."""
    name = model.lower()
    if told := next((operation for part, operation in _IN_ID if part in name), ""):
        return told
    told = next((operation for members, operation in _IN_BODY if members & asked.keys()), CHAT)
    return CHAT if told == RERANK and "message" in asked else told


def states_tokens(model: str, operation: str) -> bool:
    """Tell whether a successful answer states tokens."""
    return operation not in _STATING_NO_TOKENS and _BILLED_BY_LENGTH not in model


def is_sampled(operation: str, asked: Mapping[str, Any]) -> bool:
    """Tell whether asking again may give another answer."""
    if operation in (EMBEDDINGS, RERANK):
        return False
    holders = (asked, member(asked, "textGenerationConfig"), member(asked, "inferenceConfig"))
    temperatures = (holder.get("temperature") for holder in holders)
    temperature = next((t for t in temperatures if t is not None), None)
    choices = next(
        (asked[name] for name in ("num_generations", "numResults", "n") if name in asked), 1
    )
    return samples(temperature, asked.get("seed"), choices)
