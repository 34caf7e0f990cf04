import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.engine.headers import (
    end_to_end,
    ours,
    serialized,
    with_length,
    without_ours,
)

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ-", min_size=1, max_size=12).map(str.encode)
FIELDS = st.lists(st.tuples(TOKEN, TOKEN), max_size=8)


@given(FIELDS)
def test_what_passes_keeps_its_order_and_spelling(fields):
    passed = iter(fields)
    assert all(field in passed for field in end_to_end(fields))


@pytest.mark.parametrize(
    ("connection", "dropped"),
    [
        (b"close", []),
        (b"X-A", [b"x-a"]),
        (b"keep-alive , X-A,x-b", [b"x-a", b"X-B"]),
        (b"", []),
    ],
    ids=["close", "one", "several", "empty"],
)
def test_fields_that_connection_names_are_dropped(connection, dropped):
    fields = [(b"Connection", connection), (b"x-a", b"1"), (b"X-B", b"2"), (b"Y", b"3")]
    expected = [
        field for field in fields[1:] if field[0].lower() not in {d.lower() for d in dropped}
    ]
    assert end_to_end(fields) == expected


def test_our_fields_are_taken_out_and_read():
    fields = [
        (b"Remora-Task", b" t "),
        (b"remora-session", b"s"),
        (b"remora", b"kept"),
        (b"A", b"1"),
    ]
    assert without_ours(fields) == [(b"remora", b"kept"), (b"A", b"1")]
    assert ours(fields) == {"remora-task": "t", "remora-session": "s"}


@pytest.mark.parametrize(
    ("fields", "length", "framed"),
    [
        ([(b"A", b"1")], 0, [(b"A", b"1")]),
        ([(b"content-length", b"0")], 0, [(b"content-length", b"0")]),
        ([(b"A", b"1")], 3, [(b"A", b"1"), (b"Content-Length", b"3")]),
        ([(b"content-length", b"9"), (b"A", b"1")], 3, [(b"content-length", b"3"), (b"A", b"1")]),
        (
            [(b"Content-Length", b"3"), (b"content-length", b"3")],
            3,
            [(b"Content-Length", b"3")],
        ),
        ([(b"A", b"1")], None, [(b"A", b"1"), (b"Transfer-Encoding", b"chunked")]),
    ],
    ids=["none", "zero stays", "added", "in its place", "once", "unknown"],
)
def test_a_request_is_framed_once(fields, length, framed):
    assert with_length(fields, length) == framed


def test_a_head_is_written_as_http_asks():
    head = serialized(b"GET / HTTP/1.1", [(b"Host", b"x"), (b"Empty", b"")])
    assert head == b"GET / HTTP/1.1\r\nHost: x\r\nEmpty: \r\n\r\n"
