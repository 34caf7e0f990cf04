"""An open TLS session with an agent, past mitmproxy's layers.

Once the handshake is done and the engine is connected, bytes need decrypting and encrypting
and no layer. The session stays mitmproxy's: its end is told to the layers, which close as
they always do.
"""

import asyncio
from collections.abc import Callable

from OpenSSL import SSL

from remora_sidecar.interceptor.tls_records import TlsRecords

_RECORD_BYTES = 16 * 1024
"""The most that one TLS record carries (RFC 8446 §5.1)."""

_ROOM_BYTES = 4096
"""What encryption adds to anything that is read at once, and more."""


class TlsPassage:
    """Both directions of one session."""

    def __init__(
        self,
        tls: SSL.Connection,
        agent: asyncio.Transport,
        records: TlsRecords,
        ended: Callable[[], None],
    ) -> None:
        """Take over an open session.

        Args:
            tls: Works on memory; whatever it was given whole was read, and nothing is left to send.
            agent: Gets what the session itself has to say, such as key updates.
            records: Has followed what the agent sent so far.
            ended: Called when the agent has said goodbye; the session says so again to whoever
                reads it next.
        """
        self._tls = tls
        self._agent = agent
        self._ended = ended
        self._records = records

    def opened(self, data: bytes) -> bytes:
        """Decrypt what came from the agent; empty if no record is whole.

        As often as records have come to their end is read, and no more: the answer that there
        is nothing is a dear one. Only what is no data makes the session say something itself.
        """
        self._tls.bio_write(data)
        pieces = []
        try:
            for _ in range(self._records.ended_in(data)):
                pieces.append(self._tls.recv(_RECORD_BYTES))
        except SSL.WantReadError:
            self._say_own()
        except SSL.ZeroReturnError:
            self._ended()
            self._say_own()
        except SSL.Error:
            self._say_own()  # an alert, which ends the connection itself
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _say_own(self) -> None:
        if (own := self._to_send(_RECORD_BYTES)) and not self._agent.is_closing():
            self._agent.write(own)

    def sealed(self, data: bytes) -> bytes:
        """Encrypt what goes to the agent; empty if the session takes no more."""
        try:
            self._tls.sendall(data)
        except SSL.Error:
            return b""  # the agent has ended it: what it no longer wants is dropped
        return self._to_send(len(data) + _ROOM_BYTES)

    def _to_send(self, expected: int) -> bytes:
        pieces = []
        try:
            while True:
                pieces.append(self._tls.bio_read(expected))
                if len(pieces[-1]) < expected:
                    break
        except SSL.WantReadError:
            pass
        return b"".join(pieces)
