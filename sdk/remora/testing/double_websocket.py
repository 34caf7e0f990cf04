"""The provider double's end of a WebSocket: accept, greet, send every message back."""

import base64
import hashlib

from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from remora.testing.double_answer import EchoWebSocket
from remora.testing.double_request import RequestHead
from remora.testing.double_wire import head_bytes

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    """Compute Sec-WebSocket-Accept (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324


class WebSocketEcho:
    """Sans-io: bytes of the client in, bytes for the client out."""

    def __init__(self, script: EchoWebSocket, head: RequestHead) -> None:
        """Prepare the acceptance of an upgrade request."""
        self._connection = Connection(ConnectionType.SERVER)
        accept = accept_key(head.header("sec-websocket-key") or "")
        self._opening = head_bytes(
            101,
            None,
            (
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-accept", accept),
                *script.headers,
            ),
        )
        if script.greeting:
            self._opening += self._connection.send(TextMessage(data=script.greeting))
        self.closed = False
        """The closing handshake is done."""

    def opening(self) -> bytes:
        """Return the 101 answer and the greeting."""
        return self._opening

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the client; return what to send back."""
        answers = []
        try:
            self._connection.receive_data(data)
            answers += [self._answer(event) for event in self._connection.events()]
        except ProtocolError:
            self.closed = True
        return b"".join(answers)

    def _answer(self, event: Event) -> bytes:
        match event:
            case TextMessage() | BytesMessage():
                return self._connection.send(event)
            case Ping():
                return self._connection.send(event.response())
            case CloseConnection():
                self.closed = True
                return self._connection.send(event.response())
            case _:
                return b""
