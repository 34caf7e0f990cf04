"""Why a model stopped, in the words of all providers."""

from typing import Final

_LENGTH: Final = frozenset(
    {
        "length", "max_tokens", "max_output_tokens", "max_length", "model_length", "incomplete",
        "error_limit", "token_limit", "max_prompt_tokens",
    }
)  # fmt: skip
_CONTEXT: Final = frozenset({"model_context_window_exceeded", "context_length_exceeded"})
_REFUSED: Final = frozenset(
    {
        "content_filter", "content_filtered", "refusal", "safety", "guardrail_intervened",
        "prohibited_content", "blocklist", "spii", "recitation", "image_safety", "error_toxic",
        "model_armor",
    }
)  # fmt: skip
_BROKEN: Final = frozenset(
    {"malformed_function_call", "malformed_tool_use", "malformed_model_output"}
)


def is_truncated(reason: str) -> bool:
    """Tell whether an answer was cut for its length."""
    return reason.lower() in _LENGTH or is_out_of_context(reason)


def is_out_of_context(reason: str) -> bool:
    """Tell whether it was cut because prompt and answer filled all that the model can read."""
    return reason.lower() in _CONTEXT


def is_refused(reason: str) -> bool:
    """Tell whether the model, or a filter of the provider's, would not answer."""
    return reason.lower() in _REFUSED


def is_broken(reason: str) -> bool:
    """Tell whether the provider itself says that what the model wrote can't be used."""
    return reason.lower() in _BROKEN
