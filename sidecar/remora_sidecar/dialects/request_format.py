"""Which form a request asks its answer to have, whatever its dialect.

Told by the names of members, as messages are (`request_messages`).
"""

from collections.abc import Mapping
from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import member, word

SCHEMA: Final = "json_schema"
OBJECT: Final = "json_object"

_SCHEMAS: Final = (
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
)
_KINDS: Final = ("responseMimeType", "response_mime_type")


def response_format(asked: Mapping[str, Any]) -> str:
    """Say whether an answer is to be JSON: ``json_schema``, ``json_object``, else empty."""
    stated = member(asked, "response_format") or member(member(asked, "text"), "format")
    stated = (
        stated or member(member(asked, "output_config"), "format") or member(asked, "output_format")
    )
    if stated:
        has_schema = any(name in stated for name in ("schema", "json_schema"))
        return SCHEMA if has_schema else _of_word(word(stated.get("type")))
    config = member(asked, "generationConfig") or member(asked, "generation_config")
    if any(name in config for name in _SCHEMAS):
        return SCHEMA
    if any(word(config.get(name)) == "application/json" for name in _KINDS):
        return OBJECT
    return _of_ollama(asked.get("format"))


def _of_word(kind: str) -> str:
    return kind if kind in (SCHEMA, OBJECT) else ""


def _of_ollama(stated: object) -> str:
    if isinstance(stated, dict):
        return SCHEMA
    return OBJECT if stated == "json" else ""
