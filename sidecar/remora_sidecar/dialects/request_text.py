"""How many tokens a request is likely to be, whatever its dialect.

Every dialect writes prompts as strings in JSON; what is no prompt (ids, links, encoded files)
is left out by name. Images and what a provider adds by itself can't be seen.
"""

from collections.abc import Iterable
from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.text_meter import tokens_of

_NO_TEXT: Final = frozenset(
    {
        "b64_json", "bytes", "data", "encrypted_content", "file_data", "id", "image_url",
        "model", "role", "signature", "type", "url",
    }
)  # fmt: skip
_TOKENS_PER_TEXT: Final = 0.9
"""What quotation marks, roles and separators cost beside each string, measured on records."""


def estimated_input_tokens(body: bytes) -> int:
    """Estimate from a decoded request body; 0 if it is no JSON."""
    value = parse_json(body)
    return estimated_tokens(value) if isinstance(value, dict | list) else 0


def estimated_tokens(value: object) -> int:
    """Estimate from a request as parsed; 0 if it is neither an object nor a list."""
    if not isinstance(value, dict | list):
        return 0
    texts: list[str] = []
    met: list[Any] = [value]
    for node in met:  # grows as it is gone through: budgets ask this for every call
        items: Iterable[tuple[object, Any]]
        if type(node) is dict:
            texts += node
            items = node.items()
        else:
            items = enumerate(node)
        for place, inner in items:
            kind = type(inner)
            if kind is str:
                if place not in _NO_TEXT and not inner.startswith("data:"):
                    texts.append(inner)
            elif (kind is dict or kind is list) and place not in _NO_TEXT:
                met.append(inner)
    return round(tokens_of(texts) * 0.9 + len(texts) * _TOKENS_PER_TEXT)
