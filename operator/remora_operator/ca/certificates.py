"""How our CA certificates are put together: names, lives, extensions (RFC 5280). Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

CLOCK_SKEW = timedelta(hours=1)
"""How far the clock of whoever checks a certificate may be behind the operator's."""

type SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
type VerifyingKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

RandomBytes = Callable[[int], bytes]
"""Gives so many unpredictable bytes, as `secrets.token_bytes` does."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a certificate will say, but for its extensions and issuer.

    Attributes:
        subject: Whose it is.
        key: Its public key.
        start: UTC; before it the certificate is not valid.
        end: UTC.
    """

    subject: x509.Name
    key: VerifyingKey
    start: datetime
    end: datetime


def subject(common_name: str, *, unit: str = "") -> x509.Name:
    """Name the holder of a certificate; ``unit`` says for whom it is, for people who read it."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Remora")]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def builder(draft: Draft, issuer: x509.Name, random_bytes: RandomBytes) -> x509.CertificateBuilder:
    """Begin a certificate; its serial number has 159 random bits (RFC 5280 §4.1.2.2)."""
    return (
        x509.CertificateBuilder()
        .subject_name(draft.subject)
        .issuer_name(issuer)
        .public_key(draft.key)
        .serial_number((int.from_bytes(random_bytes(20)) >> 1) | 1)
        .not_valid_before(draft.start.replace(microsecond=0))
        .not_valid_after(draft.end.replace(microsecond=0))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(draft.key), critical=False)
    )


def as_ca(made: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    """Let the holder sign certificates, with at most so many CAs below it."""
    return made.add_extension(
        x509.BasicConstraints(ca=True, path_length=path_length), critical=True
    ).add_extension(key_usage(signs_certificates=True), critical=True)


def issued_by(made: x509.CertificateBuilder, issuer: x509.Certificate) -> x509.CertificateBuilder:
    """Say by which key the certificate is signed, in the issuer's own words if it has some."""
    return made.add_extension(_authority_key(issuer), critical=False)


def signed(made: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate:
    """Sign with SHA-256, which every client of the last twenty years knows."""
    return made.sign(key, hashes.SHA256())


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Say what the key is for: signing certificates, or TLS handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def key_name(key: VerifyingKey) -> str:
    """Return the first 8 hex digits of the key's identifier: tells CAs of one name apart."""
    return x509.SubjectKeyIdentifier.from_public_key(key).digest[:4].hex()


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate as 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def path_length(certificate: x509.Certificate) -> int | None:
    """Return how many CAs may stand below a CA; None where nothing limits it.

    Raises:
        ValueError: It is no CA's certificate.
    """
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise ValueError("is not a CA's certificate (basicConstraints CA:TRUE is missing)")
    return constraints.path_length


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]  # a CA's key signs
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
