"""The provider double's end of a WebSocket: accept, greet, answer every message."""

import base64
import hashlib
from collections.abc import Iterable
from itertools import pairwise

from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import ProtocolError

from remora.testing.double_answer import EchoWebSocket, FaultKind, TalkingWebSocket
from remora.testing.double_request import RequestHead
from remora.testing.double_wire import head_bytes

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    """Compute Sec-WebSocket-Accept (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324


class WebSocketEnd:
    """Sans-io: bytes of the client in, bytes for the client out.

    Attributes:
        ending: How the connection is to end, once it is to.
        heard: The text messages of the client.
    """

    def __init__(self, script: EchoWebSocket | TalkingWebSocket, head: RequestHead) -> None:
        """Prepare the acceptance of an upgrade request."""
        self.ending: FaultKind | None = None
        self.heard: list[str] = []
        self._script = script
        self._partial = ""
        accepted, extensions = _accepted(script, head)
        self._connection = Connection(ConnectionType.SERVER, extensions)
        fields = (
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", accept_key(head.header("sec-websocket-key") or "")),
            *accepted,
            *script.headers,
        )
        self._opening = head_bytes(101, None, fields) + self._said(
            (script.greeting,) if script.greeting else ()
        )

    def opening(self) -> bytes:
        """Return the 101 answer and the greeting."""
        return self._opening

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes of the client; return the pieces to send back."""
        answers = []
        try:
            self._connection.receive_data(data)
            answers += [self._answer(event) for event in self._connection.events()]
        except ProtocolError:
            self.ending = FaultKind.CLOSE
        cuts = self._script.cuts if isinstance(self._script, TalkingWebSocket) else None
        answer = b"".join(answers)
        if cuts is None or not answer:
            return [answer] if answer else []
        bounds = [0, *cuts.offsets(len(answer)), len(answer)]
        return [answer[at:end] for at, end in pairwise(bounds) if at < end]

    def _answer(self, event: Event) -> bytes:
        match event:
            case TextMessage() if isinstance(self._script, TalkingWebSocket):
                return self._replied(self._script, event)
            case TextMessage() | BytesMessage():
                return self._connection.send(event)
            case Ping():
                return self._connection.send(event.response())
            case CloseConnection():
                self.ending = self.ending or FaultKind.CLOSE
                return self._connection.send(event.response())
            case _:
                return b""

    def _replied(self, script: TalkingWebSocket, event: TextMessage) -> bytes:
        self._partial += event.data
        if not event.message_finished:
            return b""
        message, self._partial = self._partial, ""
        self.heard.append(message)
        return self._said(script.reply(message))

    def _said(self, said: Iterable[str | bytes | FaultKind]) -> bytes:
        sent = []
        for one in said:
            if isinstance(one, FaultKind):
                self.ending = one
                break
            sent.append(self._sent(one) if isinstance(one, str) else one)
        return b"".join(sent)

    def _sent(self, text: str) -> bytes:
        fragments = self._script.fragments if isinstance(self._script, TalkingWebSocket) else 1
        size = max(1, -(-len(text) // fragments))
        parts = [text[at : at + size] for at in range(0, len(text), size)] or [""]
        last = len(parts) - 1
        return b"".join(
            self._connection.send(TextMessage(data=part, message_finished=number == last))
            for number, part in enumerate(parts)
        )


def _accepted(
    script: EchoWebSocket | TalkingWebSocket, head: RequestHead
) -> tuple[tuple[tuple[str, str], ...], list[Extension]]:
    """Accept compression if it is offered and scripted; the field that says so comes with it."""
    offered = head.header("sec-websocket-extensions") or ""
    deflate = PerMessageDeflate()
    offers = [offer.strip() for offer in offered.split(",")]
    offer = next((one for one in offers if one.startswith(deflate.name)), "")
    if not offer or not isinstance(script, TalkingWebSocket) or not script.deflate:
        return (), []
    parameters = deflate.accept(offer)
    value = f"{deflate.name}; {parameters}" if parameters else deflate.name
    return (("sec-websocket-extensions", value),), [deflate]
