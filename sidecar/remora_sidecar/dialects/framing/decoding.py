"""Content-encoding undone on the side: the engine relays the bytes, dialects read the text.

Gives decoded pieces of bounded size while the encoded bytes come in, so that nothing is held
and a decompression bomb ends at a stated ratio. Bad bytes are a problem to report, never an
exception.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

PIECE_BYTES = 64 * 1024
"""About the size of the largest piece that a compressed body is given in."""

FREE_EXPANSION_BYTES = 64 * 1024 * 1024
"""A body may expand to this size at any ratio."""

MAX_RATIO = 100
"""Past `FREE_EXPANSION_BYTES`, a body may be this many times its encoded size; JSON is below 20."""

MAX_STACKED = 4
"""More encodings than this on one body are no honest use."""

_MAX_ZSTD_WINDOW_BYTES: Final = 8 * 1024 * 1024  # RFC 9659: HTTP peers need support no more
_ZSTD_SLICE_BYTES: Final = 256  # 4 bytes of zstd may become 128 KiB
_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError)


class _Layer(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    @property
    def is_whole(self) -> bool: ...


class _Inflate:
    """Gzip with any number of members, zlib, and the headless deflate that some servers send."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._held = b""
        self._inflater = zlib.decompressobj(wbits=31) if gzip else None
        self._ended = False

    @property
    def is_whole(self) -> bool:
        return self._inflater is not None and self._inflater.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inflater is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            has_header = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._inflater = zlib.decompressobj(wbits=15 if has_header else -15)
        while data and not self._ended:
            if self._inflater.eof:
                # Bytes after the end are another gzip member, or padding that means nothing.
                self._ended = not (self._gzip and data.startswith(b"\x1f"))
                self._inflater = self._inflater if self._ended else zlib.decompressobj(wbits=31)
                continue
            yield from self._member(data)
            data = self._inflater.unused_data

    def _member(self, data: bytes) -> Iterator[bytes]:
        inflater = self._inflater
        while inflater is not None and not inflater.eof:
            piece = inflater.decompress(data, PIECE_BYTES)
            if piece:
                yield piece
            data = inflater.unconsumed_tail
            if not data and len(piece) < PIECE_BYTES:
                return


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    @property
    def is_whole(self) -> bool:
        return bool(self._decompressor.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        decompressor = self._decompressor
        while not decompressor.is_finished():
            piece = decompressor.process(data, output_buffer_limit=PIECE_BYTES)
            if piece:
                yield piece
            elif decompressor.can_accept_more_data():
                return
            data = b""


class _Zstd:
    """Any number of frames; the library does not tell whether the last one is whole."""

    is_whole = True

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
        self._decompressor = decompressor.decompressobj(read_across_frames=True)

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE_BYTES):
            piece = self._decompressor.decompress(data[start : start + _ZSTD_SLICE_BYTES])
            for at in range(0, len(piece), PIECE_BYTES):
                yield piece[at : at + PIECE_BYTES]


def _layer(encoding: str) -> _Layer | None:
    match encoding:
        case "gzip" | "x-gzip":
            return _Inflate(gzip=True)
        case "deflate":
            return _Inflate(gzip=False)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case _:
            return None


def _through(layers: Sequence[_Layer], data: bytes) -> Iterator[bytes]:
    """Undo the outermost layer, which is the last, and then the others."""
    if not layers:
        yield data
        return
    for piece in layers[-1].feed(data):
        yield from _through(layers[:-1], piece)


class Decoder:
    """Undoes the content-encoding of one body.

    Attributes:
        problem: Why decoding stopped; empty while it goes well. After a problem no more
            pieces come.
    """

    def __init__(self, content_encoding: str | None = None) -> None:
        """Stand before the first byte.

        Args:
            content_encoding: The header's value, such as ``gzip`` or ``gzip, br``; none
                or ``identity`` passes the bytes on.
        """
        self.problem = ""
        self._taken = 0
        self._given = 0
        self._layers: list[_Layer] = []
        if content_encoding:
            names = (name.strip().lower() for name in content_encoding.split(","))
            self._stack([name for name in names if name not in ("", "identity")])

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next encoded bytes; the decoded pieces must be taken before the next call."""
        if self.problem or not data:
            return ()
        return self._decode(data) if self._layers else (data,)

    def finish(self) -> None:
        """Say that the body ended; a compressed one that is not whole becomes a problem."""
        if not self.problem and self._taken and not all(layer.is_whole for layer in self._layers):
            self.problem = "compressed body ends early"

    def _stack(self, names: list[str]) -> None:
        if len(names) > MAX_STACKED:
            self.problem = f"{len(names)} content-encodings on one body"
            return
        for name in names:
            if (layer := _layer(name)) is None:
                self.problem = f"unknown content-encoding {name[:40]!r}"
                return
            self._layers.append(layer)

    def _decode(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        try:
            for piece in _through(self._layers, data):
                self._given += len(piece)
                if self._given > FREE_EXPANSION_BYTES + MAX_RATIO * self._taken:
                    self.problem = f"compressed body expands more than {MAX_RATIO} times"
                    return
                yield piece
        except _ERRORS as error:
            self.problem = f"content-encoding can't be undone: {error}"


def decoder_for(content_encoding: str | None) -> Decoder:
    """Make the decoder of a body with this content-encoding header, if it has one."""
    return Decoder(content_encoding)


def decode_body(content_encoding: str | None, body: bytes, limit: int) -> tuple[bytes, str]:
    """Undo the content-encoding of a whole body.

    Args:
        content_encoding: The header's value, if there is one.
        body: As sent.
        limit: The most bytes to hold.

    Returns:
        The decoded bytes, empty after a problem, and the problem, empty if there was none.
    """
    if not content_encoding:
        return body, ""
    decoder = Decoder(content_encoding)
    held = bytearray()
    for piece in decoder.feed(body):
        held += piece
        if len(held) > limit:
            return b"", f"decoded body is larger than {limit} bytes"
    decoder.finish()
    return (b"", decoder.problem) if decoder.problem else (bytes(held), "")
