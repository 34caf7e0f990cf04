"""A CA that somebody else made: the user's own, or cert-manager's, read from a Secret. Pure.

The layout is Kubernetes' for TLS (``tls.crt``, ``tls.key``) with ``ca.crt`` beside it where
cert-manager issued it: the certificate first, then what links it to the root, which stands in
``ca.crt`` or is the certificate itself. Everything that is wrong is said at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from remora.errors import ConfigError, Problem
from remora_operator.ca.authority import Authority, Kind
from remora_operator.ca.certificates import SigningKey, path_length

CERTIFICATE = "tls.crt"
KEY = "tls.key"
ROOT = "ca.crt"

_MAX_PEM_BYTES = 256 * 1024
_MAX_LINKS = 4
_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_WEAK = (hashes.MD5, hashes.SHA1)
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate or a key raises where it is none, or is none that is known."""

NOT_SIGNED = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)
"""What verifying a signature raises where it is not there, or is none that is known."""

_SERVER_USES = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def read_authority(
    data: Mapping[str, bytes], now: datetime | None, kind: Kind, *, where: str = "Secret"
) -> Authority:
    """Read a CA from a Secret's data, and check that clients will accept what it signs.

    Args:
        data: The Secret's data, decoded.
        now: UTC; None: it may have expired.
        kind: What it is to be used for.
        where: How the Secret is called in problems.

    Raises:
        ConfigError: With every problem; never with a key's bytes.
    """
    problems: list[Problem] = []
    chain = _certificates(data, CERTIFICATE, where, problems)
    roots = _certificates(data, ROOT, where, problems) if data.get(ROOT) else []
    key = _key(data, where, problems)
    if problems or key is None:
        raise ConfigError(problems)
    authority = _assembled(chain, roots, key)
    found = [Problem(f"{where}: {CERTIFICATE}", what) for what in _wrong(authority, now, kind)]
    if found:
        raise ConfigError(found)
    return authority


def remarks(authority: Authority, kind: Kind) -> tuple[str, ...]:
    """Say what a person should know of a CA that can be used."""
    found = []
    if authority.headroom < kind.below + 1:
        found.append(
            "its path length leaves no room to vouch for a successor: when it is replaced, "
            "running agents have to be restarted"
        )
    chain = dict.fromkeys((authority.certificate, *authority.links, authority.root))
    for lacking, certificate in ((_not_strict(one), one) for one in chain):
        if lacking:
            found.append(
                f"{_named(certificate)} {', '.join(lacking)}: strict clients, such as Python 3.13, "
                "refuse what stands below it"
            )
    if any(map(_has_constraints, chain)):
        found.append(
            "it has name constraints of its own: hosts outside of them can't be intercepted"
        )
    return tuple(found)


def _certificates(
    data: Mapping[str, bytes], name: str, where: str, problems: list[Problem]
) -> list[x509.Certificate]:
    pem = data.get(name, b"")
    what = "is missing" if not pem else ""
    if len(pem) > _MAX_PEM_BYTES:
        what = f"is larger than {_MAX_PEM_BYTES} bytes"
    try:
        found = [] if what else _read(pem)
    except UNREADABLE:
        found, what = [], "holds no certificate in PEM form that can be read"
    if len(found) > 1 + _MAX_LINKS:
        what = f"holds {len(found)} certificates; a CA and at most {_MAX_LINKS} above it can stand"
    if what:
        problems.append(Problem(f"{where}: {name}", what))
    return found


def _read(pem: bytes) -> list[x509.Certificate]:
    """Read certificates whole: their extensions and keys, which are parsed late, as well."""
    found = x509.load_pem_x509_certificates(pem)
    for certificate in found:
        _ = certificate.extensions, certificate.public_key()
    return found


def _key(data: Mapping[str, bytes], where: str, problems: list[Problem]) -> SigningKey | None:
    pem, what, key = data.get(KEY, b""), "", None
    try:
        key = load_pem_private_key(pem, password=None) if pem else None
        what = "" if pem else "is missing"
    except TypeError:
        what = "is encrypted: take the passphrase off, the Secret protects it"
    except (ValueError, UnsupportedAlgorithm):
        what = "holds no private key in PEM form that can be read"
    if key is not None and not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        what = "is neither an elliptic-curve nor an RSA key"
    if what:
        problems.append(Problem(f"{where}: {KEY}", what))
        return None
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)  # noqa: S101 - what else says so
    return key


def _assembled(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], key: SigningKey
) -> Authority:
    """Put the certificates in order; ``chain`` may end with the root, ``roots`` hold others."""
    certificate, above = chain[0], list(chain[1:])
    if certificate.subject == certificate.issuer:
        return Authority(certificate, key, (), certificate)
    if above and above[-1].subject == above[-1].issuer:
        root = above.pop()
    else:
        top = above[-1] if above else certificate
        root = next((one for one in roots if one.subject == top.issuer), top)
    return Authority(certificate, key, tuple(above), root)


def _wrong(authority: Authority, now: datetime | None, kind: Kind) -> Iterator[str]:
    certificate, root = authority.certificate, authority.root
    yield from _key_problems(authority)
    above = (*authority.links, *(() if certificate == root else (root,)))
    for one in (certificate, *above):
        name = _named(one)
        yield from (f"{name} {what}" for what in (*_ca_problems(one), *_time_problems(one, now)))
    yield from _chain_problems((certificate, *above))
    if _is_ca(certificate, above) and authority.headroom < kind.below:
        yield (
            f"{_named(certificate)} may have no CA below it (path length "
            f"{path_length(certificate)}), and sidecars need one each: allow at least {kind.below}"
        )


def _key_problems(authority: Authority) -> Iterator[str]:
    key, public = authority.key, authority.certificate.public_key()
    if key.public_key() != public:
        yield f"and {KEY} do not belong together"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS:
        yield f"has an RSA key of {key.key_size} bits; {_RSA_BITS} are the least"
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, _CURVES):
        yield f"has a key on the curve {key.curve.name}; use P-256"


def _ca_problems(certificate: x509.Certificate) -> Iterator[str]:
    try:
        path_length(certificate)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        signs = usage.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True
    except ValueError as error:
        yield str(error)
        return
    if not signs:
        yield "may not sign certificates (its key usage lacks keyCertSign)"
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not _SERVER_USES.intersection(uses):
        yield "is not for servers (its extended key usage lacks serverAuth)"


def _time_problems(certificate: x509.Certificate, now: datetime | None) -> Iterator[str]:
    if now is None:
        return
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        yield f"is valid only from {start:%Y-%m-%d %H:%M} UTC"
    if now >= end:
        yield f"expired at {end:%Y-%m-%d %H:%M} UTC"


def _chain_problems(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    top = chain[-1]
    if top.subject != top.issuer:
        yield (
            f"{_named(top)} was issued by {top.issuer.rfc4514_string()!r}, whose certificate is "
            f"not there: put the root into {ROOT}"
        )
    for lower, upper in pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
            algorithm = lower.signature_hash_algorithm
        except NOT_SIGNED:
            yield f"{_named(lower)} was not signed by {_named(upper)}"
            continue
        if isinstance(algorithm, _WEAK):
            yield f"{_named(lower)} is signed with {algorithm.name}, which clients refuse"


def _is_ca(certificate: x509.Certificate, above: Sequence[x509.Certificate]) -> bool:
    return not any(what for one in (certificate, *above) for what in _ca_problems(one))


def _not_strict(certificate: x509.Certificate) -> list[str]:
    """Find what RFC 5280 §4.2.1 asks of a CA's certificate, and only some clients insist on."""
    held = {extension.oid: extension for extension in certificate.extensions}
    basic = held.get(ExtensionOID.BASIC_CONSTRAINTS)
    needed = {
        "has no key usage": ExtensionOID.KEY_USAGE in held,
        "has no subject key identifier": ExtensionOID.SUBJECT_KEY_IDENTIFIER in held,
        "has no authority key identifier": certificate.subject == certificate.issuer
        or ExtensionOID.AUTHORITY_KEY_IDENTIFIER in held,
        "has basic constraints that are not critical": basic is not None and basic.critical,
    }
    return [what for what, is_there in needed.items() if not is_there]


def _has_constraints(certificate: x509.Certificate) -> bool:
    try:
        certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    return True


def _named(certificate: x509.Certificate) -> str:
    return repr(certificate.subject.rfc4514_string() or "a CA without a name")
