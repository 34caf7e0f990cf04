"""A Java truststore of the same bytes for the same certificates. Pure.

`cryptography` writes the store (PKCS #12 without a password, which Java 8 and later read), with a
random salt in its checksum. A ConfigMap that changed at every start would be sent to every node,
so the checksum is made again here with a salt that follows from the content. It protects nothing:
its password is empty, and everything in the store is public.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from remora_operator.ca.certificates import fingerprint

_MAC_KEY_PURPOSE = 3
"""RFC 7292 appendix B.3."""

_BLOCK_BYTES = 64
_HASH_BYTES = 32
"""Of SHA-256."""


def truststore(roots: Sequence[x509.Certificate]) -> bytes:
    """Write certificates as a Java truststore, each under its fingerprint's first half."""
    entries = [pkcs12.PKCS12Certificate(root, fingerprint(root)[:32].encode()) for root in roots]
    return _with_settled_salt(pkcs12.serialize_java_truststore(entries, NoEncryption()))


class _Field(NamedTuple):
    """Where the value of a DER field begins and ends."""

    start: int
    end: int


def _with_settled_salt(store: bytes) -> bytes:
    """Make the checksum again (RFC 7292 §4: PFX is version, authSafe, macData)."""
    pfx = _field(store, 0)
    safe = _field(store, _field(store, pfx.start).end)
    content = _field(store, _field(store, _field(store, safe.start).end).start)
    mac_data = _field(store, safe.end)
    digest_info = _field(store, mac_data.start)
    digest = _field(store, _field(store, digest_info.start).end)
    salt = _field(store, digest_info.end)
    iterations = _field(store, salt.end)
    if digest.end - digest.start != _HASH_BYTES or iterations.end != len(store):
        raise AssertionError("the truststore is not laid out as cryptography writes it")
    authenticated = store[content.start : content.end]
    settled = hashlib.sha256(authenticated).digest()[: salt.end - salt.start]
    rounds = int.from_bytes(store[iterations.start : iterations.end])
    checksum = hmac.digest(_mac_key(settled, rounds), authenticated, "sha256")
    made = bytearray(store)
    made[digest.start : digest.end] = checksum
    made[salt.start : salt.end] = settled
    return bytes(made)


def _field(der: bytes, at: int) -> _Field:
    """Read the header of the field that begins at an offset (X.690 §8.1)."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        start, length = start + size, int.from_bytes(der[start : start + size])
    return _Field(start, start + length)


def _mac_key(salt: bytes, rounds: int) -> bytes:
    """Derive the checksum's key from no password (RFC 7292 appendix B.2, one block)."""
    salted = (salt * (_BLOCK_BYTES // len(salt) + 1))[:_BLOCK_BYTES]
    key = bytes([_MAC_KEY_PURPOSE]) * _BLOCK_BYTES + salted + _no_password()
    for _ in range(rounds):
        key = hashlib.sha256(key).digest()
    return key


def _no_password() -> bytes:
    """The empty password as Java and OpenSSL write it: a terminating zero, to a whole block."""
    return bytes(_BLOCK_BYTES)
