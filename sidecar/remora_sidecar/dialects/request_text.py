"""How many tokens a request is likely to be, whatever its dialect.

Every dialect writes prompts as strings in JSON; what is no prompt (ids, links, encoded files)
is left out by name. Images and what a provider adds by itself can't be seen.
"""

from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.text_meter import TextMeter

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
    meter = TextMeter()
    pieces = 0
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if not item.startswith("data:"):
                meter.add(item)
                pieces += 1
        elif isinstance(item, dict):
            pieces += len(item)
            meter.add("".join(item))
            waiting += [inner for key, inner in item.items() if key not in _NO_TEXT]
        elif isinstance(item, list):
            waiting += item
    return round(meter.tokens * 0.9 + pieces * _TOKENS_PER_TEXT)
