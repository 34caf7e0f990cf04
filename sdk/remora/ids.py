"""The identifiers that join records, receipts, signals and traces."""

import random
import re
import secrets

_CALL_ID = re.compile(r"[0-9a-f]{32}")
_SESSION_ID = re.compile(r"sess_[0-9a-f]{32}")

_unique = random.Random(secrets.randbits(256))  # noqa: S311 - unique, and nobody's secret

DEFAULT_SESSION_ID = "default"
"""The session of calls that name none, or an unknown one."""


def new_call_id(unix_ns: int, random_bits: int | None = None) -> str:
    """Make a UUIDv7 (RFC 9562 §5.7) as 32 hex digits; sorts by time to the millisecond.

    Args:
        unix_ns: Time in nanoseconds since the Unix epoch.
        random_bits: 74 random bits; taken from a generator seeded by the system if None.
    """
    bits = _unique.getrandbits(74) if random_bits is None else random_bits
    milliseconds = (unix_ns // 1_000_000) & ((1 << 48) - 1)
    value = (
        milliseconds << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1)
    )
    return f"{value:032x}"


def is_call_id(text: str) -> bool:
    """Tell whether the text has the form of a call id."""
    return _CALL_ID.fullmatch(text) is not None


def new_session_id() -> str:
    """Make an unguessable session id: ``sess_`` and 32 hex digits."""
    return "sess_" + secrets.token_hex(16)


def new_tracker_id() -> str:
    """Make an unguessable tracker id: ``trk_`` and 32 hex digits."""
    return "trk_" + secrets.token_hex(16)


def is_session_id(text: str) -> bool:
    """Tell whether the text has the form of an id that `new_session_id` makes."""
    return _SESSION_ID.fullmatch(text) is not None
