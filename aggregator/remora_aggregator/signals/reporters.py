"""Who sends signals, in a form that names nobody. Pure.

A hash that nobody can make without the key, which the store keeps; and of the hash one of a few
slots: what limits a reporter's share needs no more, and sums stay bounded.
"""

import hashlib
import hmac
from typing import Final

KEY_BYTES: Final = 32
SLOTS: Final = 64

_HASH_DIGITS: Final = 32


def reporter_hash(key: bytes, namespace: str, reporter: str) -> str:
    """Hash a reporter's name, differently in each namespace: 32 hex digits; empty stays so."""
    if not reporter:
        return ""
    text = f"{namespace}\0{reporter}".encode(errors="surrogatepass")
    return hmac.new(key, text, hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def slot_of(reporter: str) -> str:
    """Give the slot of a reporter by its hash: two hex digits; empty stays so."""
    if not reporter:
        return ""
    digest = hashlib.sha256(reporter.encode(errors="surrogatepass")).digest()
    return f"{digest[0] % SLOTS:02x}"
