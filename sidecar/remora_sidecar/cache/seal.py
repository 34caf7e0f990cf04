"""Values sealed before they leave the pod: whoever keeps them can neither read nor change them.

AES-256-GCM with a key of its own for every place, so that random nonces never come near their
limit, and the place bound to the value, so that none is taken for another's.
"""

import hmac
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from remora_sidecar.cache.entry import decode, encode
from remora_sidecar.cache.level import Kept

_VERSION = b"RMS1"
_NONCE_BYTES = 12
_EXPIRY = struct.Struct(">q")


def seal(kept: Kept, key: str, *, place: bytes, secret: bytes) -> bytes | None:
    """Write an answer and its time down for one place; None if it can't be written.

    Args:
        kept: What to keep.
        key: Its key in the cache.
        place: Where it will lie.
        secret: Of all that may read it.
    """
    value = encode(kept.answer, key)
    if value is None:
        return None
    nonce = os.urandom(_NONCE_BYTES)
    plain = _EXPIRY.pack(kept.expires_unix_ns) + value
    return _VERSION + nonce + _cipher(secret, place).encrypt(nonce, plain, _VERSION + place)


def unseal(sealed: bytes, key: str, *, place: bytes, secret: bytes) -> Kept | None:
    """Read what `seal` wrote for this place; None for anything else."""
    start = len(_VERSION) + _NONCE_BYTES
    if sealed[: len(_VERSION)] != _VERSION:
        return None
    nonce = sealed[len(_VERSION) : start]
    try:
        plain = _cipher(secret, place).decrypt(nonce, sealed[start:], _VERSION + place)
        (expires_ns,) = _EXPIRY.unpack_from(plain)
    except (InvalidTag, ValueError, struct.error):
        return None
    answer = decode(plain[_EXPIRY.size :], key)
    return None if answer is None else Kept(answer, expires_ns)


def _cipher(secret: bytes, place: bytes) -> AESGCM:
    return AESGCM(hmac.digest(secret, place, "sha256"))
