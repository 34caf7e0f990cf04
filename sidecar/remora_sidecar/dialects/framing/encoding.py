"""Content-encoding done again, for the rare stream that a rule changes on its way.

What came compressed leaves compressed in the same way, each piece at once.
"""

import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

_FAST = 1


class Encoder(Protocol):
    """Encodes one body."""

    def feed(self, data: bytes) -> bytes:
        """Encode the next bytes so that the reader can decode all of them now."""
        ...

    def finish(self) -> bytes:
        """End the body."""
        ...


class _Identity:
    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Deflate:
    def __init__(self, wbits: int) -> None:
        self._compressor = zlib.compressobj(_FAST, wbits=wbits)

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Brotli:
    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=_FAST)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._compressor.process(data) + self._compressor.flush()) if data else b""

    def finish(self) -> bytes:
        return bytes(self._compressor.finish())


class _Zstd:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(_FAST).compressobj()

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        compressed = self._compressor.compress(data)
        return compressed + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._compressor.flush()


def encoder_for(content_encoding: str | None) -> Encoder | None:
    """Make the encoder that a content-encoding header names; None for what is not known."""
    match (content_encoding or "identity").strip().lower():
        case "identity" | "":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Deflate(31)
        case "deflate":
            return _Deflate(15)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case _:
            return None
