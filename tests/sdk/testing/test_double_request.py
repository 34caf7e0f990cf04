import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.double_request import (
    HEAD_LIMIT_BYTES,
    BodyPart,
    Event,
    MalformedRequestError,
    MessageEnd,
    RequestHead,
    RequestReader,
    parse_head,
)


def _events(*pieces: bytes) -> list[Event]:
    """Read to the end, content joined: where it is cut is no fact about the request."""
    reader = RequestReader()
    events: list[Event] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            last = events[-1] if events else None
            if isinstance(event, BodyPart) and isinstance(last, BodyPart):
                events[-1] = BodyPart(last.data + event.data)
            else:
                events.append(event)
    return events


def _cut(data: bytes, offsets: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(offset, len(data)) for offset in offsets), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


_SIZED = b"POST /v1/x?q=%20 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
_CHUNKED = (
    b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"
)
_BARE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_sized_request_is_read_exactly():
    head, body, end = _events(_SIZED)
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.path) == ("POST", "/v1/x?q=%20", "/v1/x")
    assert head.headers == ((b"Host", b"a"), (b"Content-Length", b"5"))
    assert (body, end) == (BodyPart(b"hello"), MessageEnd())


def test_a_chunked_request_tells_its_chunks_and_trailers():
    _, body, end = _events(_CHUNKED)
    assert body == BodyPart(b"hello world")
    assert end == MessageEnd(trailers=(b"X-Sum: 1",), http_chunks=2)


@given(
    requests=st.lists(st.sampled_from([_SIZED, _CHUNKED, _BARE]), min_size=1, max_size=4),
    offsets=st.lists(st.integers(0, 400), max_size=40),
)
def test_cuts_change_nothing(requests, offsets):
    data = b"".join(requests)
    assert _events(*_cut(data, offsets)) == _events(data)


@pytest.mark.parametrize(
    "request_bytes", [_SIZED, _CHUNKED, _BARE], ids=["sized", "chunked", "bare"]
)
def test_byte_by_byte_reads_the_same(request_bytes):
    assert _events(*(bytes([byte]) for byte in request_bytes)) == _events(request_bytes)


@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 50), max_size=20))
def test_any_content_comes_out_of_any_chunks(body, sizes):
    chunks, rest = [], body
    for size in sizes:
        if rest[:size]:
            chunks.append(rest[:size])
        rest = rest[size:]
    if rest:
        chunks.append(rest)
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    events = _events(_CHUNKED.split(b"5;")[0] + framed + b"0\r\n\r\n")
    content = b"".join(event.data for event in events if isinstance(event, BodyPart))
    assert content == body
    assert events[-1] == MessageEnd(http_chunks=len(chunks))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(MalformedRequestError):
        _events(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"hello\r\n\r\n", id="no request line"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", id="another version"),
        pytest.param(b"GET /a b HTTP/1.1\r\n\r\n", id="blank in the target"),
        pytest.param(b"GET / HTTP/1.1\r\nnocolon\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", id="blank before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\n folded: a\r\n\r\n", id="folded line"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two lengths"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            id="length and chunks",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", id="other coding"),
        pytest.param(_CHUNKED.replace(b"\r\n6\r\n", b"\r\nzz\r\n"), id="no chunk size"),
        pytest.param(_CHUNKED.replace(b"hello", b"hellooo"), id="chunk longer than said"),
        pytest.param(b"GET /" + b"a" * HEAD_LIMIT_BYTES, id="head without end"),
    ],
)
def test_what_is_no_request_is_refused(data):
    with pytest.raises(MalformedRequestError):
        _events(data)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: Keep-Alive\r\n", True),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive\r\n", True),
    ],
)
def test_who_keeps_the_connection(version, connection, keeps):
    raw = f"GET / HTTP/{version}\r\n{connection}\r\n".encode()
    assert parse_head(raw).keep_alive is keeps


def test_a_reader_between_requests_is_idle():
    reader = RequestReader()
    assert reader.is_idle
    reader.feed(_BARE[:5])
    reader.next()
    assert not reader.is_idle
