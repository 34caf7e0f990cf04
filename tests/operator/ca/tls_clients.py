"""Programs that check certificates, each by its own library, and servers for them to meet."""

import ipaddress
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from remora_operator.ca.certificates import key_usage
from remora_operator.ca.truststore import truststore

SOURCES = Path(__file__).parent / "clients"
_PYTHON = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
for target in sys.argv[2:]:
    port, _, host = target.partition("=")
    try:
        with socket.create_connection(("127.0.0.1", int(port))) as plain:
            with context.wrap_socket(plain, server_hostname=host):
                print("ok")
    except (OSError, ssl.SSLError) as error:
        print("refused:", str(error).replace("\\n", " "))
"""


@dataclass(frozen=True)
class Trust:
    """Roots as files: for programs that read PEM, and for Java."""

    pem: Path
    java: Path

    @classmethod
    def write(cls, folder: Path, name: str, roots: Sequence[x509.Certificate]) -> "Trust":
        """Write the files."""
        trust = cls(folder / f"{name}.pem", folder / f"{name}.p12")
        trust.pem.write_bytes(b"".join(root.public_bytes(Encoding.PEM) for root in roots))
        trust.java.write_bytes(truststore(roots))
        return trust


Targets = Sequence[tuple[int, str]]
"""Ports of 127.0.0.1, and the names to ask for there."""

Client = Callable[[Targets, Trust], list[str]]
"""Shakes hands with each and says "ok", or why not."""


def _lines(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    # Java says on stdout what options it picked up, if at all.
    return [line for line in done.stdout.splitlines() if line.startswith(("ok", "refused"))]


def _written(targets: Targets) -> list[str]:
    return [f"{port}={host}" for port, host in targets]


def _each(command: Callable[[int, str, Trust], list[str]]) -> Client:
    """Make a client of a program that shakes hands once."""

    def client(targets: Targets, trust: Trust) -> list[str]:
        said = []
        for port, host in targets:
            done = subprocess.run(
                command(port, host, trust), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            said.append("ok" if done.returncode == 0 else f"refused: {done.stdout}{done.stderr}")
        return said

    return client


def _openssl(port: int, host: str, trust: Trust) -> list[str]:
    is_ip = _is_ip(host)
    name = ["-verify_ip", host] if is_ip else ["-servername", host, "-verify_hostname", host]
    return [
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(trust.pem),
        "-no-CApath", "-no-CAstore", "-verify_return_error", *name,
    ]  # fmt: skip


def _curl(port: int, host: str, trust: Trust) -> list[str]:
    return [
        "curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(trust.pem),
        "--connect-to", f"{host}:{port}:127.0.0.1:{port}", f"https://{host}:{port}/",
    ]  # fmt: skip


def _gnutls(port: int, host: str, trust: Trust) -> list[str]:
    sni = ["--disable-sni"] if _is_ip(host) else ["--sni-hostname", host]
    return [
        "gnutls-cli", "--x509cafile", str(trust.pem), *sni, "--verify-hostname", host,
        "--port", str(port), "127.0.0.1",
    ]  # fmt: skip


def _python(targets: Targets, trust: Trust) -> list[str]:
    return _lines([sys.executable, "-c", _PYTHON, trust.pem, *_written(targets)])


def _node(targets: Targets, trust: Trust) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", "NODE_EXTRA_CA_CERTS": str(trust.pem)}
    return _lines(["node", SOURCES / "client.cjs", *_written(targets)], environment)


def _go(folder: Path) -> Client:
    built = folder / "go-client"
    command = ["go", "build", "-o", built, SOURCES / "client.go"]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    return lambda targets, trust: _lines([built, trust.pem, *_written(targets)])


def _java(folder: Path) -> Client:
    command = ["javac", "-d", folder, SOURCES / "Client.java"]
    subprocess.run(command, check=True, capture_output=True, timeout=110)

    def client(targets: Targets, trust: Trust) -> list[str]:
        options = [
            f"-Djavax.net.ssl.trustStore={trust.java}", "-Djavax.net.ssl.trustStoreType=PKCS12",
        ]  # fmt: skip
        return _lines(["java", *options, "-cp", folder, "Client", *_written(targets)])

    return client


def make_client(name: str, folder: Path) -> Client | str:
    """Make a client by name; where a program is absent, say which."""
    program = {"gnutls": "gnutls-cli", "java": "javac", "python": sys.executable}.get(name, name)
    if shutil.which(program) is None:
        return f"{program} is not installed"
    ready: dict[str, Client] = {
        "openssl": _each(_openssl),
        "curl": _each(_curl),
        "gnutls": _each(_gnutls),
        "python": _python,
        "node": _node,
    }
    return ready[name] if name in ready else {"go": _go, "java": _java}[name](folder)


CLIENTS = ("openssl", "curl", "python", "gnutls", "node", "go", "java")


def forged_leaf(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    *,
    common_name: str = "",
    key: ec.EllipticCurvePrivateKey,
    ca: bool = False,
) -> x509.Certificate:
    """Make what somebody with a stolen key might: any names, whatever the issuer's constraints."""
    now = datetime.now(UTC)
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    )
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(key_usage(signs_certificates=ca), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = builder.add_extension(alternatives, critical=not common_name)
    return builder.sign(issuer_key, hashes.SHA256())


@contextmanager
def serving(
    folder: Path, chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey
) -> Iterator[int]:
    """Serve a chain on a port of 127.0.0.1 to whoever comes, with a short HTTP answer."""
    pem = folder / f"{threading.get_ident()}-{id(chain)}.pem"
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(content + b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_serve, args=(listener, context), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError), plain:
            plain.settimeout(5)
            with context.wrap_socket(plain, server_side=True) as tls:
                tls.recv(4096)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _general(name: str) -> x509.GeneralName:
    if _is_ip(name):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
