"""Fixtures of the CA's tests: a moment, CAs of both kinds, requests."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from remora_operator.ca.authority import INTERCEPTION, SERVING, Authority, Kind, make_root, new_key
from remora_operator.ca.rotation import Rotation, begin, steady, switch

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="session")
def now() -> datetime:
    """A moment."""
    return NOW


@pytest.fixture(scope="session")
def make_authority() -> Callable[..., Authority]:
    """Makes a root."""

    def made(kind: Kind = INTERCEPTION, at: datetime = NOW) -> Authority:
        return make_root(new_key(), at, secrets.token_bytes, kind)

    return made


@pytest.fixture(scope="session")
def authority(make_authority: Callable[..., Authority]) -> Authority:
    """An interception root."""
    return make_authority()


@pytest.fixture(scope="session")
def serving_root(make_authority: Callable[..., Authority]) -> Authority:
    """A serving root."""
    return make_authority(SERVING)


@pytest.fixture(scope="session")
def switched(make_authority: Callable[..., Authority]) -> Rotation:
    """A rotation whose new root signs."""
    published = begin(
        steady(make_authority(), INTERCEPTION, NOW), make_authority(), NOW, secrets.token_bytes
    )
    return switch(published, NOW + DAY)


@pytest.fixture(scope="session")
def make_request() -> Callable[..., bytes]:
    """Writes a certificate request."""

    def made(key: ec.EllipticCurvePrivateKey | None = None, *names: str) -> bytes:
        builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=True)
        return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.DER)

    return made
