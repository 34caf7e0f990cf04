"""Where a reader is, as text that only the aggregator reads. Pure."""

from remora.errors import BadRequest
from remora_aggregator.store.sql import Place

_MOST = 1 << 63


def cursor_of(place: Place) -> str:
    """Write a place: ``r``, the position; after a dash ``i`` or ``f`` and what orders; in hex."""
    text = f"r{place.position:x}"
    match place.value:
        case None:
            return text
        case int(number):
            return f"{text}-i{number:x}"
        case number:
            return f"{text}-f{number.hex()}"


def place_of(cursor: str) -> Place | None:
    """Read a cursor; None if none is given.

    Raises:
        BadRequest: It is none of ours.
    """
    if not cursor:
        return None
    position, dash, value = cursor.removeprefix("r").partition("-")
    try:
        place = Place(int(position, 16), _value(value) if dash else None)
    except (ValueError, OverflowError):
        place = None
    if place is None or not cursor.startswith("r") or not 0 <= place.position < _MOST:
        raise BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's")
    return place


def _value(text: str) -> int | float:
    kind, digits = text[:1], text[1:]
    if kind not in ("i", "f"):
        raise ValueError(text)
    number = int(digits, 16) if kind == "i" else float.fromhex(digits)
    if not -_MOST <= number < _MOST:  # also NaN
        raise ValueError(text)
    return number
