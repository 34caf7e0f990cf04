"""What the operator signed for this sidecar, read and checked. Pure.

Nothing of it is believed that can be looked at: that the certificates are for our key, lead to
the roots, and are valid now by the clock that the agents of this pod have as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from remora.errors import Unavailable
from remora_sidecar.interceptor.certificates import Issuer
from remora_sidecar.interceptor.constraints import Constraints

_MOST = 512
"""Certificates in one answer; far more than any policy needs."""

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)


@dataclass(frozen=True)
class Issued:
    """CAs for one key.

    Attributes:
        issuers: Each for some names; none where policy intercepts no host over TLS.
        roots: What agents are told to trust, the one that signs first.
        end: When the first of the certificates ends, UTC.
        by_name: Who signs for each name that is permitted, and for what is below it.
    """

    issuers: tuple[Issuer, ...]
    roots: tuple[x509.Certificate, ...]
    end: datetime
    by_name: Mapping[str, Issuer] = field(repr=False)

    def issuer_for(self, host: str) -> Issuer | None:
        """Return the CA whose leaves are valid for a host, or for all below a ``*.``."""
        labels = host.removeprefix("*.").split(".")
        names = (".".join(labels[at:]) for at in range(len(labels)))
        return next((self.by_name[name] for name in names if name in self.by_name), None)

    @property
    def roots_pem(self) -> bytes:
        """The roots."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in self.roots)


def certificate_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a request for a certificate of a key (PKCS #10, DER); it asks for no names."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def read_issued(
    key: ec.EllipticCurvePrivateKey,
    intermediates: Sequence[bytes],
    links: Sequence[bytes],
    roots: Sequence[bytes],
    now: datetime,
) -> Issued:
    """Read an answer of the operator.

    Args:
        key: The one that was asked for.
        intermediates: DER.
        links: DER, in the order of sending.
        roots: DER, the one that signs first.
        now: UTC.

    Raises:
        Unavailable: It is not what was asked for, or not valid now.
    """
    if len(intermediates) + len(links) + len(roots) > _MOST or not roots:
        raise Unavailable("its answer holds no root, or too many certificates")
    cas, above, trusted = (tuple(map(_read, one)) for one in (intermediates, links, roots))
    for ca in cas:
        if ca.public_key() != key.public_key() or not _is_ca(ca):
            raise Unavailable("its answer holds a certificate that is not a CA's of our key")
        if Constraints.of(ca).permitted is None:
            raise Unavailable("its answer holds a CA for every host, which must not be had here")
    for certificate in (*cas, *above):
        if not any(_issued_by(certificate, upper) for upper in (*above, *trusted)):
            raise Unavailable("its answer holds a certificate that leads to none of its roots")
    chain = (*cas, *trusted[:1])
    start = max(certificate.not_valid_before_utc for certificate in chain)
    end = min(certificate.not_valid_after_utc for certificate in chain)
    if not start <= now < end:
        raise Unavailable(
            f"its certificate is valid from {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} "
            f"UTC and not now, at {now:%Y-%m-%d %H:%M:%S}: check the clock of this node and of the "
            "operator's"
        )
    issuers = tuple(Issuer(ca, key, (ca, *above)) for ca in cas)
    return Issued(issuers, trusted, end, _by_name(issuers, (*above, trusted[0])))


def utc(unix_ns: int) -> datetime:
    """Return a moment as certificates count it, in whole seconds."""
    return datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC)


def _by_name(issuers: Sequence[Issuer], above: Sequence[x509.Certificate]) -> Mapping[str, Issuer]:
    limits = [Constraints.of(certificate) for certificate in above]
    found: dict[str, Issuer] = {}
    for issuer in issuers:
        own = Constraints.of(issuer.certificate)
        for name in own.permitted or ():
            if all(limit.permit(name) for limit in (own, *limits)):
                found.setdefault(name, issuer)
    return found


def _read(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.public_key()
    except _UNREADABLE:
        raise Unavailable("its answer holds what is not a certificate") from None
    return certificate


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return False
    return basic.ca


def _issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True
