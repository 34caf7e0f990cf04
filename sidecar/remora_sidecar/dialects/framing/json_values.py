"""JSON from strangers: parsed leniently, and values taken out only if they are what they should be.

Shared by the dialects. Nothing here raises, whatever the bytes.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

UNREADABLE: Final = object()
"""Stands for bytes that are no JSON."""

WORD_CHARACTERS = 256
"""Bound of names: models, ids, reasons, tools."""

MAX_COUNT = 2**63 - 1
"""Larger counts are no counts; records carry 64-bit numbers."""


def parse_json(data: bytes | bytearray) -> Any:
    """Parse JSON; takes NaN, broken UTF-8 and lone surrogates as other readers do.

    Returns:
        The value, or `UNREADABLE`.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return UNREADABLE


def word(value: object, limit: int = WORD_CHARACTERS) -> str:
    """Return the text if the value is one, cut to the limit and fit for storage; else empty."""
    if type(value) is not str:
        return ""
    value = value[:limit]
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()  # lone surrogates
    return value.replace("\0", "") if "\0" in value else value


def count(value: object) -> int | None:
    """Return the number if the value is a whole one, not negative; else None."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def seconds(value: object) -> float | None:
    """Return the number if the value is a length of time; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_COUNT else None


def member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under this name; an empty one if there is none."""
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}


def keys_found(value: Mapping[str, Any]) -> str:
    """List the names in an object for a message, bounded."""
    names = [word(name, 40) for _, name in zip(range(20), value, strict=False)]
    more = ", …" if len(value) > len(names) else ""
    return (", ".join(names) + more) or "none"
