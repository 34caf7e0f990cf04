"""The provider's error object, in the shapes that providers and the proxies before them use."""

from collections.abc import Mapping
from typing import Any

from remora.records import CallError
from remora_sidecar.dialects.framing.json_values import word

MESSAGE_CHARACTERS = 2000
"""Bound of an error's message in a record."""

UNNAMED_TYPE = "provider_error"
"""Type of an error whose provider named none."""


def _first_word(*values: object) -> str:
    """Return the first that says something; a numeric code counts as a word."""
    for value in values:
        if text := word(str(value) if type(value) is int else value):
            return text
    return ""


def _message(value: object) -> str:
    """Read a message; of a list of complaints only what is wrong where, never the input."""
    if isinstance(value, list):
        return "; ".join(filter(None, (_message(item) for item in value[:5])))[:MESSAGE_CHARACTERS]
    if isinstance(value, dict):
        where = value.get("loc")
        place = ".".join(str(part)[:40] for part in where[:10]) if isinstance(where, list) else ""
        text = next((t for key in ("message", "msg") if (t := _message(value.get(key)))), "")
        return word(f"{place}: {text}" if place and text else text, MESSAGE_CHARACTERS)
    return word(value, MESSAGE_CHARACTERS)


def _described(error: Mapping[str, Any]) -> CallError:
    error_type = _first_word(error.get("type"), error.get("status"), error.get("code"))
    keys = ("message", "detail", "errors", "error_description", "msg", "title")
    message = next((text for key in keys if (text := _message(error.get(key)))), "")
    return CallError(type=error_type or UNNAMED_TYPE, message=message)


def read_error(value: Mapping[str, Any], *, failed: bool) -> CallError | None:
    """Find the error that an answer or an event states.

    Args:
        value: The object.
        failed: The status or the event's name says that this is an error, so that the
            object itself describes it if no member does.
    """
    error = value.get("error")
    if isinstance(error, dict) and error:
        return _described(error)
    if isinstance(error, str) and error:
        error_type = _first_word(value.get("type"), value.get("code"))
        return CallError(type=error_type or UNNAMED_TYPE, message=_message(error))
    if value and (failed or value.get("object") == "error"):
        return _described(value)
    return None
