"""The first bytes of a connection, whole, cut and garbled."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.interceptor.peek import (
    PEEK_LIMIT_BYTES,
    HttpHead,
    NeedMore,
    Other,
    Peek,
    TlsHello,
    peek,
)

BASIC = "Basic c2Vzc19hYmM6"
CONNECT = (
    "CONNECT api.openai.com:443 HTTP/1.1\r\n"
    f"Host: api.openai.com:443\r\nproxy-authorization: {BASIC}\r\n\r\n"
).encode()


@pytest.mark.parametrize(
    ("name", "alpn", "speaks_http1"),
    [
        pytest.param("api.openai.com", ("h2", "http/1.1"), True, id="both"),
        pytest.param("api.openai.com", ("http/1.1",), True, id="http/1.1 alone"),
        pytest.param("api.openai.com", ("h2",), False, id="h2 alone"),
        pytest.param("api.openai.com", (), True, id="no alpn"),
        pytest.param(None, (), True, id="no sni"),
    ],
)
def test_a_real_hello_tells_name_and_protocols(real_hello, name, alpn, speaks_http1) -> None:
    seen = peek(real_hello(name, alpn))

    assert seen == TlsHello(name or "", tuple(protocol.encode() for protocol in alpn))
    assert seen.speaks_http1 is speaks_http1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param({}, TlsHello("", ()), id="no extensions at all"),
        pytest.param({"name": "API.OpenAI.com."}, TlsHello("api.openai.com", ()), id="any case"),
        pytest.param(
            {"name": "api.openai.com", "alpn": [b"h2"], "grease": True},
            TlsHello("api.openai.com", (b"h2",)),
            id="grease",
        ),
        pytest.param(
            {"name": "api.openai.com", "record_bytes": 7},
            TlsHello("api.openai.com", ()),
            id="records of seven bytes",
        ),
        pytest.param(
            {"name": "api.openai.com", "padding": 20_000},
            TlsHello("api.openai.com", ()),
            id="longer than one record",
        ),
        pytest.param({"name": "not a host"}, TlsHello("", ()), id="a name that is none"),
        pytest.param(
            {"alpn": [b"\x0a\x0a", b"http/1.1"]},
            TlsHello("", (b"\x0a\x0a", b"http/1.1")),
            id="grease in the protocols",
        ),
    ],
)
def test_a_hello_of_any_shape_is_read(hello, shape, expected) -> None:
    assert peek(hello(**shape)) == expected


def test_a_truncated_hello_is_waited_for(hello) -> None:
    whole = hello("api.openai.com", [b"h2"], record_bytes=40)

    assert all(peek(whole[:end]) == NeedMore() for end in range(len(whole)))


def test_a_hello_that_never_ends_is_given_up(hello) -> None:
    endless = hello("api.openai.com", padding=60_000, record_bytes=500)
    claims_more = endless[:6] + b"\xff\xff\xff" + endless[9:] + b"\x16\x03\x01\x01\x00"

    assert peek(claims_more) == NeedMore()
    assert peek(claims_more + bytes(256) + endless[: PEEK_LIMIT_BYTES // 8]) == Other()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x00\x00", id="an empty record"),
        pytest.param(b"\x16\x02", id="another version"),
        pytest.param(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", id="a ServerHello"),
        pytest.param(b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\xff\xff", id="a hello of two bytes"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\x17", id="then another record"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="ssh"),
        pytest.param(b"\x00\x00\x00\x08\x04\xd2\x16\x2f", id="postgres"),
        pytest.param(b"*1\r\n$4\r\nPING\r\n", id="redis"),
        pytest.param(b"GET key\r\n", id="redis inline"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare newlines"),
        pytest.param(b"GET /\x00 HTTP/1.1\r\n", id="a null in the target"),
        pytest.param(b"GET / HTTP/2.0\r\n", id="a version that is not text"),
        pytest.param(b"GET /a b HTTP/1.1\r\n", id="a space in the target"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http/2 with prior knowledge"),
        pytest.param(b"PROPFIND / HTTP/1.1\r\n", id="a method of another standard"),
        pytest.param(b"GETS", id="almost a method"),
        pytest.param(b"get / HTTP/1.1\r\n", id="a method in small letters"),
    ],
)
def test_what_is_neither_tls_nor_http_is_seen_at_once(data) -> None:
    assert peek(data) == Other()


def test_a_request_head_is_read_with_its_length() -> None:
    assert peek(CONNECT + b"\x16\x03\x01") == HttpHead(
        "CONNECT", "api.openai.com:443", "api.openai.com:443", BASIC, len(CONNECT)
    )


def test_a_head_without_fields_is_read() -> None:
    assert peek(b"GET http://a/ HTTP/1.0\r\n\r\n") == HttpHead("GET", "http://a/", "", "", 26)


def test_a_head_that_never_ends_is_given_up() -> None:
    line = b"GET / HTTP/1.1\r\nX: "

    assert peek(line + b"a" * (PEEK_LIMIT_BYTES - len(line) - 1)) == NeedMore()
    assert peek(line + b"a" * (PEEK_LIMIT_BYTES - len(line))) == Other()


@pytest.mark.parametrize("method", ["PROPFIND", "QUERY", "M-SEARCH", "get"])
def test_a_proxy_takes_every_method(method) -> None:
    seen = peek(f"{method} http://a/ HTTP/1.1\r\n\r\n".encode(), any_method=True)

    assert isinstance(seen, HttpHead)
    assert seen.method == method


@pytest.mark.parametrize("data", [b" / HTTP/1.1\r\n", b"\x00", b"(x) / HTTP/1.1\r\n", b"a" * 33])
def test_a_proxy_takes_no_garbage_for_a_method(data) -> None:
    assert peek(data, any_method=True) == Other()


def _settled(data: bytes, cuts: list[int]) -> Peek:
    """Peek as the bytes come in, until something is seen."""
    seen: Peek = NeedMore()
    for end in [*sorted(cuts), len(data)]:
        seen = peek(data[:end])
        if seen != NeedMore():
            break
    return seen


_STARTS = st.sampled_from(
    [CONNECT, b"POST /v1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET x\r\n", b"\x16\x03\x01\x00\x05\x01"]
)


@given(data=st.binary(max_size=300) | _STARTS.flatmap(lambda s: st.binary().map(s.__add__)))
def test_whole_byte_by_byte_and_cut_anywhere_agree(data) -> None:
    whole = peek(data)

    assert _settled(data, list(range(len(data)))) == whole


@given(
    cut=st.integers(0, 200),
    change=st.tuples(st.integers(0, 200), st.integers(0, 255)),
    record_bytes=st.integers(1, 100),
)
def test_a_damaged_hello_never_raises_and_settles_the_same(
    hello, cut, change, record_bytes
) -> None:
    data = bytearray(hello("api.openai.com", [b"h2", b"http/1.1"], record_bytes=record_bytes))
    with contextlib.suppress(IndexError):
        data[change[0]] = change[1]

    assert _settled(bytes(data), [min(cut, len(data))]) == peek(bytes(data))


@given(cuts=st.lists(st.integers(0, 150)), record_bytes=st.integers(1, 200))
def test_a_hello_cut_anywhere_is_the_same_hello(hello, cuts, record_bytes) -> None:
    data = hello("api.openai.com", [b"h2"], grease=True, record_bytes=record_bytes)

    assert _settled(data, cuts) == TlsHello("api.openai.com", (b"h2",))
