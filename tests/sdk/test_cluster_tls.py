"""What a cluster's own root may lack."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from remora.cluster_tls import cluster_context


def _signed(name, key, issuer, issuer_key, *extensions):
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, SHA256())


@pytest.fixture(scope="module")
def loose(tmp_path_factory):
    """A root without key usage and key identifier, and a server's certificate that it signed."""
    folder = tmp_path_factory.mktemp("loose")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    is_ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    name = (x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    root = _signed("kube-ca", root_key, "kube-ca", root_key, is_ca)
    leaf = _signed("localhost", key, "kube-ca", root_key, name)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.crt").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "server.pem").write_bytes(leaf.public_bytes(Encoding.PEM) + pem)
    return folder


async def _shake_hands(folder, context):
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "server.pem")
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.close()


async def test_a_root_without_key_usage_is_trusted(loose):
    await _shake_hands(loose, cluster_context(loose / "ca.crt"))


async def test_a_stranger_is_not(loose, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    is_ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    other = _signed("kube-ca", key, "kube-ca", key, is_ca)
    (tmp_path / "other.crt").write_bytes(other.public_bytes(Encoding.PEM))
    with pytest.raises(ssl.SSLCertVerificationError):
        await _shake_hands(loose, cluster_context(tmp_path / "other.crt"))


def test_what_holds_no_root_is_said(tmp_path):
    (tmp_path / "none.crt").write_text("nothing")
    with pytest.raises(OSError, match=r".+"):
        cluster_context(tmp_path / "none.crt")
