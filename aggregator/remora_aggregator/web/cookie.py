"""The cookie of somebody who signed in: the token, sealed so that only aggregators can read it.

Nothing is kept of who is signed in, so that replicas with the same key agree, and a token that is
taken back is taken back here too: each request asks anew what the token may do.
"""

import base64
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LIFE_S: Final = 12 * 3600
MOST_TOKEN_CHARS: Final = 2_500
"""A browser keeps cookies of 4,096 bytes."""
NONCE_BYTES: Final = 12

_PURPOSE = b"remora sign-in 1"
_NS = 1_000_000_000


def cookie_name(*, is_secure: bool) -> str:
    """Name the cookie: with TLS so that browsers hold it to this host (RFC 6265bis §4.1.3)."""
    return "__Host-remora" if is_secure else "remora"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a cookie says."""

    token: str
    expires_unix_ns: int


class Seal:
    """Seals and opens cookies."""

    def __init__(self, secret: bytes) -> None:
        """Take the secret that all replicas share."""
        self._cipher = AESGCM(sha256(_PURPOSE + secret).digest())

    def sealed(self, signed_in: SignedIn, nonce: bytes) -> str:
        """Write a cookie.

        Args:
            signed_in: What it says.
            nonce: `NONCE_BYTES` random bytes, never used before.
        """
        content = json.dumps([signed_in.token, signed_in.expires_unix_ns]).encode()
        sealed = nonce + self._cipher.encrypt(nonce, content, _PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def opened(self, cookie: str, now_unix_ns: int) -> SignedIn | None:
        """Read a cookie; None if it is none of ours, or has expired."""
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            content: Any = json.loads(self._cipher.decrypt(nonce, rest, _PURPOSE))
        except (ValueError, InvalidTag):
            return None
        signed_in = SignedIn(*content)
        return signed_in if now_unix_ns < signed_in.expires_unix_ns else None


class SignedOut:
    """Cookies that were given back before their time, until it has passed."""

    def __init__(self, most: int = 10_000) -> None:
        """Remember so many at most; the oldest are forgotten first."""
        self._most = most
        self._digests: dict[bytes, None] = {}

    def add(self, cookie: str) -> None:
        """Refuse a cookie from now on."""
        self._digests[sha256(cookie.encode()).digest()] = None
        while len(self._digests) > self._most:
            del self._digests[next(iter(self._digests))]

    def __contains__(self, cookie: str) -> bool:
        """Tell whether a cookie was given back."""
        return sha256(cookie.encode()).digest() in self._digests


def expiry_of(now_unix_ns: int) -> int:
    """Say when a cookie that is made now expires."""
    return now_unix_ns + LIFE_S * _NS
