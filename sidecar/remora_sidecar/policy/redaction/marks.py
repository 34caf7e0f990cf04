"""What stands where something was taken out."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

MARK: Final = re.compile(
    rb"\[redacted:[-_.A-Za-z0-9]{1,63}(?::[0-9a-f]{8})?\]|\[left out: [^\]\n]{1,100}\]"
)
"""Any mark; what is found inside one is not taken out again."""

BULK: Final = "bulk"
"""Kind of long runs of base64: pictures, sound, embeddings."""

_DIGEST_CHARACTERS: Final = 8
_NOT_WORD: Final = re.compile(rb"[^0-9A-Za-z]")
_WITHOUT_SEPARATORS: Final = frozenset({"iban", "credit-card", "phone"})


@dataclass(frozen=True, slots=True)
class Marks:
    """Words the marks.

    Attributes:
        salt: Keys the digests of ``digest`` mode; without it they say nothing.
        digests: Whether equal values get equal digests, so that they can be counted.
    """

    salt: bytes = field(default=b"", repr=False)
    digests: bool = False

    def mark(self, kind: str, value: bytes) -> bytes:
        """Give what stands in the place of a value."""
        if kind == BULK:
            return left_out(f"{len(value)} characters of base64")
        if not self.digests:
            return f"[redacted:{kind}]".encode()
        keyed = hmac.new(self.salt, kind.encode() + b"\0" + _alike(kind, value), hashlib.sha256)
        return f"[redacted:{kind}:{keyed.hexdigest()[:_DIGEST_CHARACTERS]}]".encode()


def left_out(what: str) -> bytes:
    """Give what stands in the place of something that is not kept."""
    return f"[left out: {what}]".encode()


def _alike(kind: str, value: bytes) -> bytes:
    """Give equal values that are written differently one form."""
    if kind in _WITHOUT_SEPARATORS:
        return _NOT_WORD.sub(b"", value).upper()
    return value.lower() if kind == "email" else value
