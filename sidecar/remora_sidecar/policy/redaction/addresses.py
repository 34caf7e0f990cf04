"""IP addresses, told from versions, times and names in code."""

import ipaddress
import re
from typing import Final

from remora_sidecar.policy.redaction.spans import Detector, finder, stands_alone

_V4: Final = r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})"
_V6: Final = (
    r"((?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}"
    r"|(?:[0-9A-Fa-f]{1,4}:){0,6}:(?:[0-9A-Fa-f]{1,4}:){0,5}"
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{1,4})?)"
)
_VERSION: Final = re.compile(rb"(?:version|release|build|\bv|[=<>~^!]=)[\"'\s:]*\Z", re.IGNORECASE)
_LOOK_BACK_BYTES: Final = 12


def _is_v4(text: bytes, start: int, end: int) -> bool:
    if not stands_alone(text, start, end):
        return False
    if _VERSION.search(text, max(0, start - _LOOK_BACK_BYTES), start) is not None:
        return False
    return _is_somebody(text[start:end])


def _is_v6(text: bytes, start: int, end: int) -> bool:
    value = text[start:end]
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    if b":" in around or not stands_alone(text, start, end):
        return False
    groups = [group for group in value.split(b":") if group]
    is_like_one = len(groups) >= 3 or any(len(group) == 4 for group in groups)
    return is_like_one and any(map(str.isdigit, value.decode())) and _is_somebody(value)


def _is_somebody(value: bytes) -> bool:
    """Loopback and "any" are the same everywhere and tell nothing."""
    try:
        address = ipaddress.ip_address(value.decode("ascii"))
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


IP_ADDRESSES: Final = (
    Detector(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", finder(_V4, _is_v4)),
    Detector(r"[0-9A-Fa-f]::|::[0-9A-Fa-f]|(?:[0-9A-Fa-f]{1,4}:){4}", finder(_V6, _is_v6)),
)
