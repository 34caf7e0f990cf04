"""Usage in Cohere's words: what was processed, and what is charged for; docs.cohere.com.

The second API states both under ``usage``, the first under ``meta``. What was processed has
Cohere's own template in it, which is not charged for.
"""

from collections.abc import Mapping
from typing import Any

from remora.records import Usage
from remora_sidecar.dialects.framing.json_values import count, member

SEARCHED = "tokens and billed_units"
"""Keys of which at least one must be there, for messages."""


def read_usage(stated: Mapping[str, Any]) -> Usage | None:
    """Read a ``usage`` or ``meta`` object.

    Returns:
        None if it has no figure.
    """
    tokens, billed = member(stated, "tokens"), member(stated, "billed_units")
    billed_input = count(billed.get("input_tokens"))
    billed_output = count(billed.get("output_tokens"))
    input_tokens = count(tokens.get("input_tokens"))
    output_tokens = count(tokens.get("output_tokens"))
    usage = Usage(
        input_tokens=billed_input if input_tokens is None else input_tokens,
        output_tokens=billed_output if output_tokens is None else output_tokens,
        cache_read_tokens=count(stated.get("cached_tokens")),
        input_image_tokens=count(billed.get("image_tokens")),
        billed_input_tokens=billed_input,
        billed_output_tokens=billed_output,
        rerank_searches=count(billed.get("search_units")),
    )
    return usage if usage != Usage() else None
