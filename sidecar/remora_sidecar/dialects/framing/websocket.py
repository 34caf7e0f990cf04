"""Text messages out of the bytes of one direction of a WebSocket (RFC 6455, RFC 7692).

Watches only: the bytes themselves go on as they are, whatever is found here. wsproto reads the
frames; messages are put together and inflated here, because a watcher needs bounds, and because
wsproto's own inflating loses its place where a ping stands between two fragments.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    Frame,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

from remora_sidecar.dialects.base import HELD_EVENT_LIMIT_BYTES
from remora_sidecar.dialects.framing.json_skim import Skimmer

INFLATED_LIMIT_BYTES: Final = 16 * HELD_EVENT_LIMIT_BYTES
"""A compressed message that grows beyond this ends the watching: it may be a bomb."""

_PIECE_BYTES: Final = 256 * 1024
_DEFLATE: Final = "permessage-deflate"
_TAIL: Final = b"\x00\x00\xff\xff"
"""What a sender leaves off the end of a compressed message (RFC 7692 §7.2.1)."""


@dataclass(frozen=True, slots=True)
class Close:
    """What a close frame said (RFC 6455 §5.5.1); code 1005 where it said nothing."""

    code: int
    reason: str


class _Broken(Exception):
    """The bytes are no WebSocket, or none that can be watched."""


class _CompressionBit(Extension):
    """Notes which messages are compressed; the payload passes as it is (RFC 7692 §6)."""

    name = _DEFLATE
    compressed = False

    def offer(self) -> bool | str:
        """Offer nothing: this end negotiates with nobody."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Take the first reserved bit of a message's first frame."""
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            self.compressed = rsv.rsv1
        elif rsv.rsv1:
            return CloseReason.PROTOCOL_ERROR
        return RsvBits(True, False, False)


class _Inflater:
    """Inflates the messages of one direction; each piece it gives is bounded.

    The largest window fits every negotiated one.
    """

    def __init__(self, *, keeps_context: bool) -> None:
        self._keeps_context = keeps_context
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """Inflate a payload; raises zlib.error if it is none."""
        piece = self._zlib.decompress(data, _PIECE_BYTES)
        if len(piece) < _PIECE_BYTES and not self._zlib.eof:
            return (piece,)  # nearly always
        return self._more(piece)

    def end_message(self) -> None:
        """Forget what the next message may not refer to."""
        if not self._keeps_context:
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)

    def _more(self, piece: bytes) -> Iterator[bytes]:
        while True:
            yield piece
            data = self._zlib.unconsumed_tail
            if self._zlib.eof:  # a block marked as the last (§7.2.3.4): the next begins anew
                data = self._zlib.unused_data
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
            elif not data and len(piece) < _PIECE_BYTES:
                return
            piece = self._zlib.decompress(data, _PIECE_BYTES)


class MessageReader:
    """Reads the messages of one direction; bounded, however long they are.

    Attributes:
        problem: Why reading stopped; empty while it goes on.
        skipped: Messages that were too large to be read.
        closing: The close frame, once it was seen; nothing after it is read.
    """

    def __init__(
        self, *, from_client: bool, extensions: str = "", limit: int = HELD_EVENT_LIMIT_BYTES
    ) -> None:
        """Stand before the first frame.

        Args:
            from_client: The direction: frames of a client are masked.
            extensions: Sec-WebSocket-Extensions of the answer that accepted the upgrade.
            limit: The most bytes of a message to hold. A larger one is read as JSON without
                its bulk (pictures, sound), and skipped only if that is too large as well.
        """
        self.problem = ""
        self.skipped = 0
        self.closing: Close | None = None
        self._limit = limit
        self._compression = _CompressionBit()
        self._inflater: _Inflater | None = None
        self._kind: Opcode | None = None
        self._held = bytearray()
        self._size = 0
        self._too_large = False
        self._skimmer: Skimmer | None = None
        accepted = self._accept(extensions, "client" if from_client else "server")
        self._frames = FrameDecoder(client=not from_client, extensions=accepted)

    def _accept(self, extensions: str, sender: str) -> list[Extension]:
        if not extensions.strip():
            return []
        name, *parameters = (part.strip().lower() for part in extensions.split(";"))
        if name != _DEFLATE or "," in extensions:
            self.problem = "the connection uses an extension that can't be read"
            return []
        self._inflater = _Inflater(keeps_context=f"{sender}_no_context_takeover" not in parameters)
        return [self._compression]

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes.

        Returns:
            The text messages that they complete, in UTF-8 as sent; binary ones are left out.
        """
        messages: list[bytes] = []
        if self.problem or self.closing is not None:
            return messages
        try:
            self._frames.receive_bytes(data)
            while (frame := self._frames.process_buffer()) is not None:
                if (message := self._take(frame)) is not None:
                    messages.append(message)
                if self.closing is not None:
                    break
        except (ParseFailed, _Broken) as error:
            self._stop(f"the bytes are no valid WebSocket frames: {error}")
        except zlib.error:
            self._stop("a compressed message could not be inflated")
        return messages

    def _stop(self, problem: str) -> None:
        self.problem = problem
        self._held.clear()
        self._frames = FrameDecoder(client=True)

    def _take(self, frame: Frame) -> bytes | None:
        opcode, payload = frame.opcode, frame.payload
        if not isinstance(payload, bytes):  # wsproto's type covers its later stages too
            return None
        if opcode >= Opcode.CLOSE:
            if opcode is Opcode.CLOSE:
                self.closing = _close(payload)
            return None
        self._follow(opcode)
        whole = frame.frame_finished and frame.message_finished
        if self._compression.compressed and self._inflater is not None:
            self._hold(self._inflater.pieces(payload + _TAIL if whole else payload))
            if whole:
                self._inflater.end_message()
        elif whole and not self._size and len(payload) <= self._limit:
            return self._end(payload)  # most messages: one frame, which came whole
        else:
            self._hold((payload,))
        return self._end(bytes(self._held)) if whole else None

    def _follow(self, opcode: Opcode) -> None:
        if opcode is not Opcode.CONTINUATION:
            if self._kind is not None:
                raise _Broken("a message began inside another")
            self._kind = opcode
        elif self._kind is None:
            raise _Broken("a message went on that had not begun")

    def _hold(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._size += len(piece)
            if self._kind is Opcode.TEXT and not self._too_large:
                self._hold_text(piece)
            if self._size > INFLATED_LIMIT_BYTES and self._compression.compressed:
                raise _Broken("a compressed message grew beyond all bounds")

    def _hold_text(self, piece: bytes) -> None:
        if self._skimmer is None and len(self._held) + len(piece) > self._limit:
            self._skimmer = Skimmer()
            piece = bytes(self._held) + piece
            self._held.clear()
        self._held += piece if self._skimmer is None else self._skimmer.feed(piece)
        if len(self._held) > self._limit:
            self._too_large = True
            self._held.clear()

    def _end(self, message: bytes) -> bytes | None:
        kind, was_too_large = self._kind, self._too_large
        if self._skimmer is not None:
            message += self._skimmer.flush()
            self._skimmer = None
        self._kind, self._size, self._too_large = None, 0, False
        self._held.clear()
        if was_too_large:
            self.skipped += 1
            return None
        return message if kind is Opcode.TEXT else None


def _close(payload: bytes) -> Close:
    if len(payload) < 2:
        return Close(CloseReason.NO_STATUS_RCVD.value, "")
    return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace"))
