"""TLS of the provider double: a CA of its own, one leaf, and TLS over memory buffers.

The double holds the raw transport itself, so that it can end a connection with or without
TLS's goodbye, at an exact byte, and say why a handshake failed.
"""

import ssl
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import trustme

_READ_BYTES = 256 * 1024


class Authority:
    """A throw-away root and the server certificate of the served names."""

    def __init__(self, names: Sequence[str], ca: trustme.CA | None = None) -> None:
        """Issue one leaf that carries all names (host names, wildcards, addresses)."""
        self._ca = ca or trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["http/1.1"])
        self._ca.issue_cert(*names).configure_cert(self.context)
        self._asked: WeakKeyDictionary[ssl.SSLObject | ssl.SSLSocket, str] = WeakKeyDictionary()
        self.context.sni_callback = self._note_name

    @property
    def ca_pem(self) -> bytes:
        """The root, as PEM."""
        return self._ca.cert_pem.bytes()

    def asked_name(self, connection: ssl.SSLObject) -> str | None:
        """The name in the client's SNI; None if it sent none."""
        return self._asked.get(connection)

    def _note_name(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext
    ) -> None:
        if name is not None:
            self._asked[connection] = name


class TlsPipe:
    """One TLS connection between bytes of the wire and plain bytes."""

    def __init__(self, authority: Authority) -> None:
        """Wait for the ClientHello."""
        self._authority = authority
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = authority.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.shaken = False
        """The handshake is done."""
        self.ended = False
        """The peer said goodbye."""

    @property
    def sni(self) -> str | None:
        """The name that the client asked for."""
        return self._authority.asked_name(self._tls)

    @property
    def alpn(self) -> str | None:
        """The protocol that the handshake settled on."""
        return self._tls.selected_alpn_protocol()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the wire; return the plain ones among them.

        Raises:
            ssl.SSLError: The handshake failed or the bytes are no TLS.
        """
        self._incoming.write(data)
        plain = []
        try:
            if not self.shaken:
                self._tls.do_handshake()
                self.shaken = True
            while piece := self._tls.read(_READ_BYTES):
                plain.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(plain)

    def send(self, plain: bytes) -> bytes:
        """Encrypt; return the bytes for the wire."""
        self._tls.write(plain)
        return self._outgoing.read()

    def pending(self) -> bytes:
        """Take what TLS itself has to say (handshake, alerts)."""
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """Return the close_notify."""
        if self.shaken and not self.ended:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                # Expected: the peer's own close_notify can't be there yet.
                return self._outgoing.read()
        return self._outgoing.read()
