"""Where leaf certificates come from: an interface, and the CA of a local sidecar.

The interceptor asks for a leaf by server name and knows no more. A local sidecar keeps its
root in the data directory; in a cluster `issued_authority` of the same shape holds constrained
intermediates in memory. No key ever goes to the trust folder.
"""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from remora.clock import Clock
from remora.errors import ConfigError, Problem
from remora_sidecar.atomic_file import write_atomically
from remora_sidecar.interceptor.certificates import Issuer, make_root
from remora_sidecar.interceptor.leaf_cache import LeafCache, LeafCredential

logger = logging.getLogger(__name__)

CA_KEY_FILE = "ca-with-key.pem"
"""In the data directory: private key, then certificate; mode 0600."""

_WARN_BEFORE_END = timedelta(days=30)


class CertificateAuthority(Protocol):
    """Gives the interceptor its leaves and says what agents must trust for them."""

    @property
    def root_pem(self) -> bytes:
        """The certificates (PEM) that agents must trust; two while one root replaces another."""
        ...

    def may_sign(self, host: str) -> bool:
        """Tell whether its leaves are valid for a host, or for all below a ``*.``."""
        ...

    def leaf(self, sni: str) -> LeafCredential:
        """Find or make the credential for a server name.

        Raises:
            BadRequest: If it isn't a host name.
            Unavailable: If the authority can't sign now.
        """
        ...


class LocalAuthority:
    """A root of this installation alone, in a file of its data directory."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        """Sign with the given root; `open` is how the sidecar gets one."""
        self.root_pem = issuer.certificate.public_bytes(Encoding.PEM)
        self._leaves = LeafCache(issuer, clock)

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> Self:
        """Read the root from the folder, or make it at the first start.

        Raises:
            ConfigError: If the file is damaged, unreadable, or its certificate not valid now.
        """
        path = folder / CA_KEY_FILE
        now = datetime.fromtimestamp(clock.now_unix_ns() // 1_000_000_000, UTC)
        try:
            issuer = _load(path, now) if path.exists() else _create(path, now)
        except OSError as error:
            raise _problem(path, f"can't be used: {error.strerror or error}") from error
        return cls(issuer, clock)

    def may_sign(self, host: str) -> bool:
        """Say yes: the root of one installation is not constrained."""
        del host
        return True

    def leaf(self, sni: str) -> LeafCredential:
        """Find or make the credential for a server name."""
        return self._leaves.leaf(sni)


def _create(path: Path, now: datetime) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = make_root(key, now)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(path, key_pem + certificate.public_bytes(Encoding.PEM), mode=0o600)
    logger.info("made a CA for this installation: %s", certificate.subject.rfc4514_string())
    return Issuer(certificate, key)


def _load(path: Path, now: datetime) -> Issuer:
    content = path.read_bytes()
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    try:
        key = load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unusable(path, "it does not hold a private key and a certificate") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable(path, "its key is not an elliptic-curve key")
    _check(path, certificate, key)
    _check_time(path, certificate, now)
    return Issuer(certificate, key)


def _check(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    if certificate.public_key() != key.public_key():
        raise _unusable(path, "its key and its certificate do not belong together")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        raise _unusable(path, "its certificate is not one that Remora made") from None
    if not constraints.ca:
        raise _unusable(path, "its certificate is not a CA's")


def _check_time(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        raise _problem(
            path, f"valid only from {start:%Y-%m-%d %H:%M} UTC: check this machine's clock"
        )
    if now >= end:
        raise _unusable(path, f"it expired at {end:%Y-%m-%d %H:%M} UTC")
    if end - now < _WARN_BEFORE_END:
        logger.warning("the CA %s expires at %s", path, f"{end:%Y-%m-%d %H:%M} UTC")


def _unusable(path: Path, why: str) -> ConfigError:
    remedy = "delete it to get a new CA, and restart the agents so that they trust the new one"
    return _problem(path, f"{why}; {remedy}")


def _problem(path: Path, what: str) -> ConfigError:
    return ConfigError([Problem(str(path), what)])
