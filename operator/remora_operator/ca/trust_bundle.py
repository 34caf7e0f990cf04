"""The files by which agents trust us, as a ConfigMap holds them. Pure.

Their names are those of `remora.trust`, and so is what each is for. The same roots give the same
bytes, so that nothing is written anew that has not changed. Certificates only, never a key.
"""

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from remora.errors import ConfigError, Problem
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE
from remora_operator.ca.truststore import truststore

MAX_CONFIG_MAP_BYTES = 1024 * 1024
"""Kubernetes' limit of all values of a ConfigMap together."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class TrustBundle:
    """What agents are to trust.

    Attributes:
        version: SHA-256 of the certificates, in hex: equal for equal trust, whatever the files'
            bytes.
        texts: For a ConfigMap's ``data``, by key.
        binaries: For its ``binaryData``, by key, not yet in base64.
        notes: What a person should know, such as extra bundles that were left out.
    """

    version: str
    texts: Mapping[str, str]
    binaries: Mapping[str, bytes]
    notes: tuple[str, ...]


def trust_bundle(
    public_pem: bytes,
    roots: Sequence[x509.Certificate],
    extra_pem: Mapping[str, bytes],
    now: datetime,
) -> TrustBundle:
    """Put public roots, a company's own and ours together.

    Args:
        public_pem: Mozilla's roots, as certifi ships them.
        roots: Of our CA: one, or old and new while a root is replaced.
        extra_pem: PEM files of ``extraBundles``, by the names that notes call them.
        now: UTC; what has expired by then is left out.

    Raises:
        ConfigError: Public roots are none, or all of it is more than a ConfigMap takes.
    """
    public = parsed_roots(public_pem)
    if not public:
        raise ConfigError([Problem("public roots", "hold no certificate in PEM form")])
    extra = {name: parsed_roots(pem) for name, pem in sorted(extra_pem.items())}
    notes = [*_notes(extra, now)]
    every = [*public, *(root for parsed in extra.values() for root in parsed), *roots]
    ours, whole = _valid(roots, now), _valid(every, now)
    texts = {CA_FILE: _pem(ours), BUNDLE_FILE: _pem(whole)}
    binaries = {TRUSTSTORE_FILE: truststore(whole)}
    _check_size(texts, binaries)
    return TrustBundle(roots_version([*ours, *whole]), texts, binaries, tuple(notes))


def roots_version(roots: Iterable[x509.Certificate]) -> str:
    """Return the version of a set of roots: SHA-256 over their DER, in hex, in their order."""
    digest = hashlib.sha256()
    for root in roots:
        digest.update(root.public_bytes(Encoding.DER))
    return digest.hexdigest()


def parsed_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file, passing over all that is none."""
    with _lenient():
        parsed = (_certificate(block) for block in _PEM.findall(pem))
        return tuple(certificate for certificate in parsed if certificate is not None)


def _valid(roots: Iterable[x509.Certificate], now: datetime) -> tuple[x509.Certificate, ...]:
    return tuple(dict.fromkeys(root for root in roots if now < root.not_valid_after_utc))


def _notes(extra: Mapping[str, Sequence[x509.Certificate]], now: datetime) -> Iterator[str]:
    for name, found in extra.items():
        if not found:
            yield f"{name} holds no certificate in PEM form, and adds nothing"
        for root in found:
            if root.not_valid_after_utc <= now:
                subject = root.subject.rfc4514_string()
                yield f"{name}: {subject!r} expired at {root.not_valid_after_utc:%Y-%m-%d}"


def _check_size(texts: Mapping[str, str], binaries: Mapping[str, bytes]) -> None:
    size = sum(map(len, texts.values())) + sum(map(len, binaries.values()))
    if size > MAX_CONFIG_MAP_BYTES:
        what = f"the trust files have {size} bytes, a ConfigMap takes {MAX_CONFIG_MAP_BYTES}"
        raise ConfigError([Problem("extraBundles", f"{what}: name fewer roots")])


def _certificate(block: bytes) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(block)
    except (ValueError, x509.InvalidVersion):
        return None


@contextmanager
def _lenient() -> Iterator[None]:
    """Pass over warnings: public bundles hold certificates that are not as RFC 5280 has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _pem(roots: Iterable[x509.Certificate]) -> str:
    return b"".join(root.public_bytes(Encoding.PEM) for root in roots).decode("ascii")
