"""What an aggregator beyond loopback needs: a root, a serving certificate, tokens.

A private CA of its own signs the serving certificate; it has nothing to do with the CA of
interception. Made once; what exists is left alone, so that a repeated `init` changes nothing.
"""

import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remora.clock import Clock
from remora.errors import ConfigError, Problem

_LIFE = timedelta(days=5 * 365)
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ServingFiles:
    """Where the files are.

    Attributes:
        root: For whoever connects (`REMORA_AGGREGATOR_CA`).
        certificate: The server's.
        key: The server's, for it alone.
        tokens: Lines of `TOKEN NAMESPACES [ROLE] [NAME]`, for the server alone.
        token: One token, for whoever connects.
    """

    root: Path
    certificate: Path
    key: Path
    tokens: Path
    token: Path

    @classmethod
    def within(cls, folder: Path) -> "ServingFiles":
        """Name the files of a folder; what clients need lies in its `client` folder."""
        return cls(
            root=folder / "client" / "ca.pem",
            certificate=folder / "server" / "cert.pem",
            key=folder / "server" / "key.pem",
            tokens=folder / "server" / "tokens",
            token=folder / "client" / "token",
        )

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (self.root, self.certificate, self.key, self.tokens, self.token)


def make_serving_files(
    folder: Path, hosts: Sequence[str], namespace: str, *, owner: int | None, clock: Clock
) -> bool:
    """Make what is missing; False if everything was there.

    Args:
        folder: Where they go.
        hosts: Names and addresses under which the aggregator is reached.
        namespace: Whose records the token reports and reads.
        owner: Uid and gid to give the files to; None leaves them to the caller.
        clock: Where the certificates' validity starts.

    Raises:
        ConfigError: Some files are there and others not, or they can't be written.
    """
    files = ServingFiles.within(folder)
    present = [path for path in files.all if path.exists()]
    if len(present) == len(files.all):
        return False
    if present:
        listed = ", ".join(str(path) for path in present)
        what = f"some files are there already and others are not: {listed}; remove them first"
        raise ConfigError([Problem(str(folder), what)])
    try:
        _write(files, hosts, namespace, owner, clock)
    except OSError as error:
        raise ConfigError([Problem(str(folder), f"can't be written: {error.strerror}")]) from None
    return True


def _write(
    files: ServingFiles, hosts: Sequence[str], namespace: str, owner: int | None, clock: Clock
) -> None:
    now = datetime.fromtimestamp(clock.now_unix_ns() / 1e9, UTC)
    root_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _root(root_key, now)
    certificate = _certificate(server_key, hosts, root, root_key, now)
    token = secrets.token_urlsafe(32)
    contents = {
        files.root: (_pem(root), 0o644),
        files.certificate: (_pem(certificate), 0o644),
        files.key: (_key_pem(server_key), 0o600),
        files.tokens: (f"{token} {namespace}\n".encode(), 0o600),
        files.token: (f"{token}\n".encode(), 0o600),
    }
    for path, (content, mode) in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if owner is not None:
            os.chown(path.parent, owner, owner)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            if owner is not None:
                os.fchown(file.fileno(), owner, owner)


def _root(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Remora aggregator root")])
    return (
        _builder(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Remora aggregator")])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        _builder(name, root.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(authority, critical=False)
        .sign(root_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
