import gzip
import itertools
import zlib
from collections.abc import Callable, Iterable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.decoding import PIECE_BYTES, Decoder, decode_body


def _raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _stacked(data: bytes) -> bytes:
    return brotli.compress(gzip.compress(data))


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", _raw_deflate),
    "brotli": ("br", brotli.compress),
    "zstd": ("zstd", _zstd),
    "stacked": ("gzip, br", _stacked),
    "identity": ("identity", bytes),
    "identity and gzip": ("identity,gzip", gzip.compress),
    "empty header": ("", bytes),
}
encodings = pytest.mark.parametrize(("encoding", "encode"), ENCODERS.values(), ids=list(ENCODERS))
compressed = pytest.mark.parametrize(
    ("encoding", "encode"), list(ENCODERS.values())[:7], ids=list(ENCODERS)[:7]
)


def _decode(encoding: str, chunks: Iterable[bytes]) -> tuple[bytes, str]:
    decoder = Decoder(encoding)
    decoded = b"".join(piece for chunk in chunks for piece in decoder.feed(chunk))
    decoder.finish()
    return decoded, decoder.problem


def _bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@encodings
@given(data=st.binary(max_size=2000))
def test_what_was_encoded_comes_back_however_it_is_cut(
    encoding: str, encode: Callable[[bytes], bytes], data: bytes
) -> None:
    encoded = encode(data)
    assert _decode(encoding, [encoded]) == (data, "")
    assert _decode(encoding, _bytes(encoded)) == (data, "")


@encodings
def test_pieces_are_of_bounded_size(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    if encoding in ("", "identity"):
        return  # passed on as they came
    data = b"0123456789" * 500_000
    pieces = list(Decoder(encoding).feed(encode(data)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 2 * PIECE_BYTES


@compressed
@given(noise=st.binary(min_size=1, max_size=300))
def test_bytes_that_are_not_encoded_are_a_problem_and_no_exception(
    encoding: str, encode: Callable[[bytes], bytes], noise: bytes
) -> None:
    _decode(encoding, [noise])
    _decode(encoding, [encode(b"x" * 200)[:9] + noise])


@compressed
def test_a_body_that_ends_early_gives_what_was_there(
    encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    encoded = encode(bytes(range(256)) * 4000)
    decoded, problem = _decode(encoding, [encoded[: len(encoded) // 2]])
    assert (bytes(range(256)) * 4000).startswith(decoded)
    assert problem == ("" if encoding == "zstd" else "compressed body ends early")


@compressed
def test_no_body_at_all_is_no_problem(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    assert _decode(encoding, []) == (b"", "")


@pytest.mark.parametrize("encode", [gzip.compress, _zstd], ids=["gzip", "zstd"])
def test_several_members_are_one_body(encode: Callable[[bytes], bytes]) -> None:
    encoding = "gzip" if encode is gzip.compress else "zstd"
    encoded = encode(b"one ") + encode(b"two ") + encode(b"three")
    for chunks in ([encoded], _bytes(encoded)):
        assert _decode(encoding, chunks) == (b"one two three", "")


@pytest.mark.parametrize("padding", [b"\0" * 512, b"garbage"], ids=["zeros", "garbage"])
def test_padding_after_gzip_means_nothing(padding: bytes) -> None:
    assert _decode("gzip", [gzip.compress(b"text") + padding, padding]) == (b"text", "")


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("compress", "unknown content-encoding 'compress'"),
        ("gzip, aws-chunked", "unknown content-encoding 'aws-chunked'"),
        ("gzip,gzip,gzip,gzip,gzip", "5 content-encodings on one body"),
    ],
)
def test_an_encoding_nobody_knows_is_said(encoding: str, problem: str) -> None:
    assert _decode(encoding, [b"bytes"]) == (b"", problem)


@pytest.mark.parametrize(
    ("encoding", "layers"),
    [("br", [brotli.compress]), ("gzip, gzip", [gzip.compress, gzip.compress]), ("zstd", [_zstd])],
    ids=["brotli", "gzip twice", "zstd"],
)
def test_a_bomb_is_stopped(encoding: str, layers: list[Callable[[bytes], bytes]]) -> None:
    bomb = b"\0" * 100_000_000
    for encode in layers:
        bomb = encode(bomb)
    decoder = Decoder(encoding)
    given_bytes = sum(map(len, decoder.feed(bomb)))
    assert given_bytes <= 64 * 1024 * 1024 + 100 * len(bomb)
    assert decoder.problem == "compressed body expands more than 100 times"
    assert list(decoder.feed(bomb)) == []


def test_a_held_body_has_a_limit() -> None:
    body = gzip.compress(b"x" * 1000)
    assert decode_body("gzip", body, 1000) == (b"x" * 1000, "")
    assert decode_body("gzip", body, 999) == (b"", "decoded body is larger than 999 bytes")
    assert decode_body("gzip", b"no gzip", 1000)[0] == b""
    assert decode_body(None, b"text", 1000) == (b"text", "")


def test_events_come_out_as_soon_as_the_provider_flushed_them() -> None:
    deflater = zlib.compressobj(wbits=31)
    decoder = Decoder("gzip")
    for text in itertools.repeat(b"data: a\n\n", 3):
        chunk = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoder.feed(chunk)) == text
