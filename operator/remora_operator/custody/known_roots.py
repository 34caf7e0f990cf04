"""The roots of a CA that agents and servers were told to trust. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

type RootKey = bytes


@dataclass(frozen=True, slots=True)
class KnownRoots:
    """The roots of one CA that were made known.

    Attributes:
        roots: Their certificates; empty where none ever was.
    """

    roots: tuple[x509.Certificate, ...] = ()

    @property
    def keys(self) -> frozenset[RootKey]:
        """The roots' public keys: a certificate renewed with its key is trusted as before."""
        return root_keys(self.roots)

    def with_roots(self, roots: Iterable[x509.Certificate]) -> "KnownRoots":
        """Return these and others."""
        return KnownRoots(tuple(dict.fromkeys((*self.roots, *roots))))


def root_keys(roots: Iterable[x509.Certificate]) -> frozenset[RootKey]:
    """Return the public keys of certificates."""
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return frozenset(root.public_key().public_bytes(*spki) for root in roots)
