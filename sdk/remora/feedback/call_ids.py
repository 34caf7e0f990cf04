"""Reads the id of a call from whatever a program has of its answer. Pure.

Sidecars put `remora-call-id` on answers. Clients hand on answers in many shapes; where a shape
has the answer's header fields in it, they are found by what it looks like, so that no client is
imported.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

CALL_ID_FIELD: Final = "remora-call-id"
REQUEST_ID_FIELDS: Final = ("x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id")
"""By which providers name an answer, and SDKs the object made of it."""

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_NAMES = ("call_id", "remora_call_id", "trace_id", "kalibr_trace_id")
_INNER = (
    "response",
    "http_response",
    "sdk_http_response",
    "raw_response",
    "_response",
    "_raw_response",
    "_raw_stream",
)
"""Where objects of SDKs keep the answer that they were made of."""
_INNER_KEYS = ("ResponseMetadata", "response_metadata", "HTTPHeaders", "headers")
_DEEPEST = 3


def normal_call_id(text: str) -> str:
    """Give a call id as records have it; empty if the text is none."""
    return text.replace("-", "").lower() if _ID.fullmatch(text) else ""


def call_id_of(result: object) -> str:
    """Find the id of the call that gave a result; empty if nothing in it tells.

    Args:
        result: An id; an answer of an HTTP client; an object of an SDK, its raw answer, its stream
            or its error; a mapping that has `call_id`, `trace_id` or header fields in it.
    """
    if isinstance(result, str):
        return normal_call_id(result)
    return _found(result, _DEEPEST)


def request_id_of(result: object) -> str:
    """Find what the provider called the answer that an SDK's object was made of; or empty."""
    for name in ("_request_id", "request_id"):
        if isinstance(found := getattr(result, name, None), str):
            return found
    return ""


def field_of(fields: object, name: str) -> str:
    """Read a header field, by a name in lower case; empty if there is none.

    Args:
        fields: A mapping of any library, whose names may be spelt in any way, or pairs.
        name: In lower case.
    """
    pairs = fields.items() if hasattr(fields, "items") else fields
    if not isinstance(pairs, Iterable) or isinstance(pairs, str | bytes):
        return ""
    for pair in pairs:
        if isinstance(pair, tuple) and len(pair) == 2 and _text(pair[0]).lower() == name:
            return _text(pair[1])
    return ""


def _found(result: object, depth: int) -> str:
    if result is None or isinstance(result, str | bytes | int | float):
        return ""
    if isinstance(result, Mapping):
        return _in_mapping(result, depth)
    for name in _NAMES:
        if isinstance(value := getattr(result, name, None), str) and (
            found := normal_call_id(value)
        ):
            return found
    if found := normal_call_id(field_of(getattr(result, "headers", None), CALL_ID_FIELD)):
        return found
    if not depth:
        return ""
    inner = (getattr(result, name, None) for name in (*_INNER, "response_metadata"))
    return next(filter(None, (_found(one, depth - 1) for one in inner)), "")


def _in_mapping(result: Mapping[object, object], depth: int) -> str:
    for name in _NAMES:
        if isinstance(value := result.get(name), str) and (found := normal_call_id(value)):
            return found
    if found := normal_call_id(field_of(result, CALL_ID_FIELD)):
        return found
    if not depth:
        return ""
    inner = (result.get(name) for name in _INNER_KEYS)
    return next(filter(None, (_found(one, depth - 1) for one in inner)), "")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
