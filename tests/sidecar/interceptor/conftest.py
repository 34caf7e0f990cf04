"""ClientHellos of every shape, made by hand and by Python's own TLS."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence

import pytest

MakeHello = Callable[..., bytes]

_GREASE = 0x7A7A


def _vector(size: str, content: bytes) -> bytes:
    return struct.pack(size, len(content)) + content


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!H", kind) + _vector("!H", body)


def made_hello(
    name: str = "",
    alpn: Sequence[bytes] = (),
    *,
    grease: bool = False,
    padding: int = 0,
    record_bytes: int = 1 << 14,
) -> bytes:
    """Write a ClientHello (RFC 8446 §4.1.2), cut into records of a size."""
    extensions = _extension(_GREASE, b"") if grease else b""
    if name:
        server_name = b"\x00" + _vector("!H", name.encode())
        extensions += _extension(0, _vector("!H", server_name))
    if alpn:
        offered = b"".join(_vector("!B", protocol) for protocol in alpn)
        extensions += _extension(16, _vector("!H", offered))
    if padding:
        extensions += _extension(21, bytes(padding))
    ciphers = struct.pack("!HH", _GREASE, 0x1301) if grease else struct.pack("!H", 0x1301)
    body = b"\x03\x03" + bytes(32) + _vector("!B", b"") + _vector("!H", ciphers) + b"\x01\x00"
    body += _vector("!H", extensions) if extensions else b""
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    pieces = [message[at : at + record_bytes] for at in range(0, len(message), record_bytes)]
    return b"".join(b"\x16\x03\x01" + _vector("!H", piece) for piece in pieces)


def _real_hello(name: str | None, alpn: Sequence[str] = ()) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.fixture(scope="session")
def hello() -> MakeHello:
    """Makes a ClientHello by hand."""
    return made_hello


@pytest.fixture(scope="session")
def real_hello() -> MakeHello:
    """Makes the ClientHello that Python's TLS sends."""
    return _real_hello


@pytest.fixture
def free_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def full_backlog() -> Iterator[tuple[str, int]]:
    """An address that neither accepts nor refuses a connection."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address
