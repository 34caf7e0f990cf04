"""Certificates as clusters and companies often make them: without what RFC 5280 wants of a root."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ROOT_FILE = "ca.crt"
SERVER_FILE = "server.pem"

_ROOT_NAME = "a root of our own"


def write_loose_certificates(folder: Path, name: str = "localhost") -> None:
    """Write a root without key usage and key identifiers, and a server's certificate by it.

    Args:
        folder: Gets `ROOT_FILE`, and `SERVER_FILE` with certificate and key.
        name: Of the server.
    """
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    root = _signed(_ROOT_NAME, root_key, root_key, is_ca)
    leaf = _signed(name, key, root_key, x509.SubjectAlternativeName([x509.DNSName(name)]))
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / ROOT_FILE).write_bytes(root.public_bytes(Encoding.PEM))
    (folder / SERVER_FILE).write_bytes(leaf.public_bytes(Encoding.PEM) + key_pem)


async def shake_hands(folder: Path, client: ssl.SSLContext, name: str = "localhost") -> None:
    """Have a client shake hands with a server that has the certificates of a folder.

    Raises:
        ssl.SSLError: The client does not trust it.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / SERVER_FILE)
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname=name
        )
        writer.close()


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    root_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject_name=_named(name),
        issuer_name=_named(_ROOT_NAME),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(days=1),
    )
    is_critical = isinstance(extension, x509.BasicConstraints)
    return builder.add_extension(extension, critical=is_critical).sign(root_key, SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
