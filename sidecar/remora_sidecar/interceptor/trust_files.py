"""Writes the files by which agents trust the CA, to the one folder that agents may read.

Three forms, because runtimes differ (docs/trust.md): the CA alone for those that add it to
their own roots, public roots and CA together for those that replace them, and the same as
a Java truststore. Certificates only; no key is ever an argument here.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from remora.clock import Clock
from remora.errors import ConfigError, Problem
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE
from remora_sidecar.atomic_file import write_atomically

SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Alpine
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),  # RHEL, Fedora
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # older RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # SUSE
    Path("/etc/ssl/cert.pem"),  # BSD, macOS
)

_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


def write_trust_files(
    folder: Path,
    root_pem: bytes,
    clock: Clock,
    *,
    data_dir: Path,
    extra_roots: Path | None = None,
    system_bundles: Sequence[Path] = SYSTEM_BUNDLES,
) -> None:
    """Write the trust files, each whole or not at all; what is right already stays untouched.

    Args:
        folder: Made if need be; readable by all, like its files.
        root_pem: The certificate of the CA, or those of old and new while one replaces another.
        clock: Tells which public roots have expired; those are left out.
        data_dir: Where the CA's key is; must not be in the folder.
        extra_roots: PEM file of roots to add, such as a company's.
        system_bundles: Where to look for the public roots before taking certifi's.

    Raises:
        ConfigError: If the folder can't be written or would show the CA's key, or the
            extra roots can't be read.
    """
    if data_dir.resolve().is_relative_to(folder.resolve()):
        what = f"agents read this folder, so the data directory {data_dir} may not be in it"
        raise ConfigError([Problem(str(folder), what)])
    ours = x509.load_pem_x509_certificates(root_pem)
    now = datetime.fromtimestamp(clock.now_unix_ns() // 1_000_000_000, UTC)
    extra = read_roots(extra_roots) if extra_roots else ()
    public = [
        root for root in (*_public_roots(system_bundles), *extra) if root.not_valid_after_utc > now
    ]
    roots = tuple(dict.fromkeys((*public, *ours)))
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
        _write_truststore(folder / TRUSTSTORE_FILE, roots)
        _write(folder / CA_FILE, root_pem)
        _write(folder / BUNDLE_FILE, b"".join(root.public_bytes(Encoding.PEM) for root in roots))
    except OSError as error:
        where = str(error.filename or folder)
        what = f"the trust files can't be written: {error.strerror or error}"
        raise ConfigError([Problem(where, what)]) from error


def read_roots(path: Path) -> tuple[x509.Certificate, ...]:
    """Read the certificates of a PEM file.

    Raises:
        ConfigError: If the file can't be read or holds none.
    """
    try:
        roots = tuple(_certificates(path.read_bytes()))
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), f"can't be read: {error.strerror or error}")]
        ) from error
    if not roots:
        raise ConfigError([Problem(str(path), "holds no certificate in PEM form")])
    return roots


def _public_roots(system_bundles: Sequence[Path]) -> tuple[x509.Certificate, ...]:
    for bundle in system_bundles:
        try:
            return read_roots(bundle)
        except ConfigError:
            continue
    return read_roots(Path(certifi.where()))


def _certificates(pem: bytes) -> Iterator[x509.Certificate]:
    parsed = (_parse(block) for block in _PEM_CERTIFICATE.findall(pem))
    return (certificate for certificate in parsed if certificate is not None)


def _parse(block: bytes) -> x509.Certificate | None:
    with _lenient():
        try:
            return x509.load_pem_x509_certificate(block)
        except ValueError:
            return None


@contextmanager
def _lenient() -> Iterator[None]:
    """Pass over warnings: public bundles hold certificates that are not as RFC 5280 has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _write(path: Path, content: bytes) -> None:
    if _is_public(path) and path.read_bytes() == content:
        return
    write_atomically(path, content, mode=0o644)


def _write_truststore(path: Path, roots: Sequence[x509.Certificate]) -> None:
    """Compare what is inside, since the store's bytes are salted."""
    if _is_public(path) and _truststore_roots(path) == set(roots):
        return
    entries = [pkcs12.PKCS12Certificate(root, _alias(root)) for root in roots]
    write_atomically(path, pkcs12.serialize_java_truststore(entries, NoEncryption()), mode=0o644)


def _truststore_roots(path: Path) -> set[x509.Certificate]:
    with _lenient():
        try:
            store = pkcs12.load_pkcs12(path.read_bytes(), None)
        except ValueError:
            return set()
    return {entry.certificate for entry in store.additional_certs}


def _alias(root: x509.Certificate) -> bytes:
    return root.fingerprint(hashes.SHA256()).hex()[:32].encode()


def _is_public(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o777 == 0o644
