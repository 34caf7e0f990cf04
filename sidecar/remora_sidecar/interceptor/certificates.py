"""The certificates of interception as pure functions of names, keys and the time.

`authority` keeps keys and files, `leaf_cache` keeps what was made; this module knows
neither. A leaf says nothing but its server's name, because a name-constrained issuer
forbids more and a client needs no more.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remora.errors import BadRequest, Unavailable

ROOT_LIFE = timedelta(days=5 * 365)
"""Long enough that nobody has to renew trust by hand in a development machine's life."""

LEAF_LIFE = timedelta(days=7)
"""Short, because a leaf is made in less than a millisecond."""

CLOCK_SKEW = timedelta(hours=1)
"""How far an agent's clock may be behind ours."""

_COMMON_NAME_MAX = 64
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LEAF_USES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@dataclass(frozen=True)
class Issuer:
    """A CA certificate that signs leaves.

    Attributes:
        certificate: Of the CA.
        key: Its private key.
        chain: What a server sends after the leaf; empty where the issuer is the root
            itself, else the issuer and what links it to the root.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()


def server_name(sni: str) -> str:
    """Return the name in the form that certificates carry: lower case, no final dot.

    Raises:
        BadRequest: If it isn't a host name (RFC 6066 §3: no addresses; Unicode names are
            sent in their xn-- form). Underscores pass, since clusters use them.
    """
    name = sni.lower().removesuffix(".")
    if not 0 < len(name) <= 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadRequest(f"{sni[:64]!r} is not a host name", code="INVALID_SERVER_NAME")
    if _is_address(name):
        raise BadRequest(f"{name!r} is an address, not a host name", code="INVALID_SERVER_NAME")
    return name


def make_root(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """Make the self-signed root of one installation; it signs leaves, never other CAs."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Remora"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Remora local CA {key_id.digest[:4].hex()}"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(key_id, critical=False)
        .sign(key, hashes.SHA256())
    )


def make_leaf(
    name: str, key: ec.EllipticCurvePublicKey, issuer: Issuer, now: datetime
) -> x509.Certificate:
    """Make the certificate of one server name; it never outlives its issuer.

    Args:
        name: As `server_name` returns it.
        key: The leaf's public key.
        issuer: Who signs.
        now: UTC, with its time zone.

    Raises:
        Unavailable: If the issuer has expired.
    """
    end = min(now + LEAF_LIFE, issuer.certificate.not_valid_after_utc)
    if end <= now:
        raise Unavailable(f"the CA's certificate expired at {end:%Y-%m-%d %H:%M} UTC")
    subject = _leaf_subject(name)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - CLOCK_SKEW, issuer.certificate.not_valid_before_utc))
        .not_valid_after(end)
        # RFC 5280 §4.1.2.6: critical where it is all that names the subject.
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=not subject.rdns)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_LEAF_USES, critical=False)
        .add_extension(_authority_key_id(issuer.certificate), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def _leaf_subject(name: str) -> x509.Name:
    if len(name) > _COMMON_NAME_MAX:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _authority_key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.rpartition(".")[2].isdigit()
    return True
