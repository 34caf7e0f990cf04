"""What a request asks for by name: members of a JSON object, or fields of a form with files.

OpenAI's calls for pictures and audio come as either (``multipart/form-data`` by RFC 7578). Of a
form only the wanted fields are kept; files, which are nearly all of it, pass unheld.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.model.exchange import RequestHead, header

if TYPE_CHECKING:
    from multipart import PushMultipartParser

FIELD_BYTES: Final = 1024
"""A longer field is no name, number or switch: it is passed over."""

MAX_PARTS: Final = 1000
"""A form of more parts is not read to its end."""

_PIECE_BYTES: Final = 256 * 1024
_FORM = "multipart/form-data"

Asked = tuple[Mapping[str, Any], str]
"""What was asked by name, and why not all of it could be read; empty if it could."""


def read_asked(head: RequestHead, body: bytes, wanted: Collection[str] = ()) -> Asked:
    """Read what a request asks for.

    Args:
        head: Its content type says what the body is.
        body: The whole decoded body.
        wanted: Fields of a form to keep, whose values are text; empty if none is expected.
            A JSON object comes whole.
    """
    content_type = header(head.headers, b"content-type") if wanted else None
    if content_type is not None and content_type.strip().lower().startswith(_FORM):
        return _read_form(content_type, body, wanted)
    asked = parse_json(body)
    if isinstance(asked, dict):
        return asked, ""
    return {}, "request body is no JSON object" if body else "request has no body"


def is_true(value: object) -> bool:
    """Tell whether a switch is on, as JSON or as text."""
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def number(value: object) -> float | None:
    """Return a number, as JSON or as text; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _read_form(content_type: str, body: bytes, wanted: Collection[str]) -> Asked:
    # Loaded on first use: forms are rare.
    from multipart import MultipartError, PushMultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get("boundary", "")
    fields: dict[str, str] = {}
    try:
        parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS)
        for name, value in _fields(parser, body, wanted):
            fields.setdefault(name, value)
        parser.close()
    except (MultipartError, ValueError) as error:
        return fields, f"request form can't be read: {type(error).__name__}"
    return fields, ""


def _fields(
    parser: "PushMultipartParser", body: bytes, wanted: Collection[str]
) -> Iterator[tuple[str, str]]:
    name, held = None, b""
    for event in _events(parser, body):
        if event is None:
            if name is not None and len(held) <= FIELD_BYTES:
                yield name, held.decode("utf-8", "replace")
        elif isinstance(event, bytes | bytearray):
            if name is not None and len(held) <= FIELD_BYTES:
                held += event[: FIELD_BYTES + 1]
        else:
            is_wanted = event.filename is None and event.name in wanted
            name, held = event.name if is_wanted else None, b""


def _events(parser: "PushMultipartParser", body: bytes) -> Iterator[Any]:
    for at in range(0, len(body), _PIECE_BYTES):
        yield from parser.parse(body[at : at + _PIECE_BYTES])
