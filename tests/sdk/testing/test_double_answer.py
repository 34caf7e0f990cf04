import gzip
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.double_answer import Answer, Framing, RandomCuts, Repeated, encoded
from remora.testing.double_wire import plan, whole


@given(body=st.binary(max_size=500), cuts=st.lists(st.integers(-5, 600)))
def test_pieces_join_to_the_body_wherever_it_is_cut(body, cuts):
    pieces = list(Answer(body=body, cuts=tuple(cuts)).pieces())
    assert b"".join(pieces) == body
    assert all(pieces)


@given(seed=st.integers(), length=st.integers(0, 2000))
def test_random_cuts_are_the_same_for_the_same_seed(seed, length):
    cuts = RandomCuts(seed, mean_bytes=16)
    offsets = cuts.offsets(length)
    assert offsets == RandomCuts(seed, mean_bytes=16).offsets(length)
    assert all(0 < offset < length for offset in offsets)


@given(piece=st.binary(min_size=1, max_size=20), total=st.integers(0, 200))
def test_a_repeated_body_has_exactly_its_length(piece, total):
    body = b"".join(Repeated(piece, total).pieces())
    assert len(body) == total
    assert (piece * total).startswith(body)


def test_an_endless_body_has_no_length():
    with pytest.raises(ValueError, match="endless"):
        plan(Answer(body=Repeated(b"x"), framing=Framing.LENGTH), "GET", keep_alive=True)


@pytest.mark.parametrize(
    ("coding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("br", brotli.decompress),
        ("zstd", zstandard.decompress),
    ],
)
def test_an_encoded_answer_decodes_to_the_same(coding, decode):
    answer = encoded(Answer(headers=(("x", "y"),), body=b"hello " * 50), coding)
    assert isinstance(answer.body, bytes)
    assert decode(answer.body) == b"hello " * 50
    assert answer.headers == (("x", "y"), ("content-encoding", coding))


def test_a_repeated_body_is_not_encoded():
    with pytest.raises(TypeError, match="only a body of bytes"):
        encoded(Answer(body=Repeated(b"x", 5)), "gzip")


_CHUNKED: dict[str, Any] = {"framing": Framing.CHUNKED}


@pytest.mark.parametrize(
    ("answer", "method", "wire"),
    [
        pytest.param(
            Answer(body=b"hi"),
            "GET",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            id="length",
        ),
        pytest.param(
            Answer(body=b"hi", **_CHUNKED),
            "GET",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            id="chunked",
        ),
        pytest.param(
            Answer(body=b"hi", trailers=(("x", "1"),), **_CHUNKED),
            "GET",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: 1\r\n\r\n",
            id="trailers",
        ),
        pytest.param(
            Answer(body=b"", **_CHUNKED),
            "GET",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            id="empty chunked",
        ),
        pytest.param(
            Answer(body=b"hi", framing=Framing.CLOSE),
            "GET",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
            id="until close",
        ),
        pytest.param(
            Answer(body=b"hi"), "HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", id="HEAD"
        ),
        pytest.param(Answer(204, body=b"hi"), "GET", b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(
            Answer(304, (("etag", '"a"'),), b"hi"),
            "GET",
            b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\n\r\n',
            id="304",
        ),
        pytest.param(
            Answer(headers=(("Content-Length", "99"),), body=b"hi"),
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhi",
            id="a length that lies",
        ),
        pytest.param(
            Answer(599, reason="Odd"),
            "GET",
            b"HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n\r\n",
            id="own reason",
        ),
        pytest.param(Answer(verbatim=b"SSH-2.0\r\n"), "GET", b"SSH-2.0\r\n", id="no HTTP"),
    ],
)
def test_an_answer_on_the_wire(answer, method, wire):
    assert whole(answer, plan(answer, method, keep_alive=True)) == wire


def test_a_client_that_closes_is_told_so():
    planned = plan(Answer(body=b"hi"), "GET", keep_alive=False)
    assert planned.closes
    assert b"connection: close" in planned.head
