"""The trust files of a namespace: whose roots, and the bytes that follow. Pure.

`ca.trust_bundle` makes what agents see; beside it stands what sidecars need to know us and their
providers.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from remora_operator.ca.trust_bundle import parsed_roots, roots_version, trust_bundle
from remora_operator.inject.layout import SERVING_CA_FILE, UPSTREAM_CA_FILE


@dataclass(frozen=True)
class TrustSources:
    """Whose roots go into the files.

    Attributes:
        public_pem: Mozilla's.
        roots: Of the interception CA: one, or old and new while a root is replaced.
        serving_roots: Of the CA of our servers.
        extra_pem: PEM files of a company's own roots, by name; agents trust them, too.
        upstream_pem: PEM files of providers' roots, by name, for sidecars; None: none are used.
    """

    public_pem: bytes = field(repr=False)
    roots: tuple[x509.Certificate, ...]
    serving_roots: tuple[x509.Certificate, ...]
    extra_pem: Mapping[str, bytes]
    upstream_pem: Mapping[str, bytes] | None = None


@dataclass(frozen=True)
class TrustFiles:
    """What a namespace's ConfigMap holds.

    Attributes:
        version: SHA-256 of all of it, in hex: equal for equal trust.
        roots: Version of the interception CA's roots in it: tells how far a rotation has come.
        texts: For ``data``, by key.
        binaries: For ``binaryData``, by key, not yet in base64.
        notes: What a person should know.
    """

    version: str
    roots: str
    texts: Mapping[str, str]
    binaries: Mapping[str, bytes]
    notes: tuple[str, ...]


def trust_files(sources: TrustSources, now: datetime) -> TrustFiles:
    """Make the files.

    Args:
        sources: Whose roots.
        now: UTC; what has expired by then is left out.

    Raises:
        ConfigError: All of it is more than a ConfigMap takes, or there are no public roots.
    """
    bundle = trust_bundle(sources.public_pem, sources.roots, sources.extra_pem, now)
    texts = {**bundle.texts, SERVING_CA_FILE: _pem(sources.serving_roots)}
    notes = list(bundle.notes)
    if sources.upstream_pem is not None:
        upstream = _roots(sources.upstream_pem, notes)
        if upstream:
            texts[UPSTREAM_CA_FILE] = _pem(upstream)
    digest = hashlib.sha256(bundle.version.encode())
    for name in sorted(texts):
        digest.update(f"\0{name}\0{texts[name]}".encode())
    return TrustFiles(
        digest.hexdigest(),
        published_version(sources.roots),
        texts,
        bundle.binaries,
        tuple(notes),
    )


def published_version(roots: Iterable[x509.Certificate]) -> str:
    """Return the version of a CA's roots, whatever their order."""
    return roots_version(sorted(set(roots), key=lambda root: root.public_bytes(Encoding.DER)))


def _roots(pem: Mapping[str, bytes], notes: list[str]) -> tuple[x509.Certificate, ...]:
    found: list[x509.Certificate] = []
    for name, content in sorted(pem.items()):
        parsed = parsed_roots(content)
        if not parsed:
            notes.append(f"{name} holds no certificate in PEM form, and adds nothing")
        found.extend(parsed)
    if not found:
        notes.append(
            "injected pods want roots of providers (upstreamCa), and there are none: they can't "
            "start"
        )
    return tuple(dict.fromkeys(found))


def _pem(roots: tuple[x509.Certificate, ...]) -> str:
    return b"".join(root.public_bytes(Encoding.PEM) for root in roots).decode("ascii")
