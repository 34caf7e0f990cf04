import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.sse import Event, EventStream

_FRAGMENTS = [
    b"data", b"data:", b"data: ", b"event: ", b"id: 1", b": comment", b"x", b" ", b"\n", b"\r",
    b"\r\n", b"\n\n", b"\r\n\r\n", b"\xef\xbb\xbf", "é€😀".encode(), b"\x00", b"[DONE]",
]  # fmt: skip
streams = st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=8), max_size=40).map(b"".join)


def _read(chunks: list[bytes], limit: int = 1 << 20) -> tuple[list[Event], int, Event | None]:
    stream = EventStream(limit)
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return events + stream.flush(), stream.skipped, stream.last_skipped


def _by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [Event(b"a"), Event(b"b")], id="LF"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [Event(b"a"), Event(b"b")], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [Event(b"a"), Event(b"b")], id="CR"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [Event(b"a"), Event(b"b")], id="mixed"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [Event(b"a")], id="byte order mark"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event(b"a")], id="late mark"),
        pytest.param(b": ping\n\ndata: a\n: ping\n\n", [Event(b"a")], id="comments"),
        pytest.param(b"event: e\ndata: a\n\n", [Event(b"a", b"e")], id="named"),
        pytest.param(b"data: a\nevent: e\n\n", [Event(b"a", b"e")], id="named after"),
        pytest.param(b"event: e\n\ndata: a\n\n", [Event(b"a")], id="a name alone is dropped"),
        pytest.param(b"data: a\ndata: b\n\n", [Event(b"a\nb")], id="two data lines"),
        pytest.param(b"data:a\n\ndata:  b\n\n", [Event(b"a"), Event(b" b")], id="spaces"),
        pytest.param(b"data\n\n", [Event(b"")], id="no colon"),
        pytest.param(b"data\ndata\n\n", [Event(b"\n")], id="two empty lines"),
        pytest.param(b" data: a\n\n", [], id="another field"),
        pytest.param(b"\n\n\n\ndata: a\n\n\n\n\n", [Event(b"a")], id="many blank lines"),
        pytest.param(b"id: 7\nretry: 5\ndata: a\n\n", [Event(b"a")], id="id and retry"),
        pytest.param(b"data: a\n\ndata: b", [Event(b"a"), Event(b"b")], id="unterminated"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_streams_are_read_as_the_standard_says(data: bytes, events: list[Event]) -> None:
    assert _read([data])[0] == events
    assert _read(_by_byte(data))[0] == events


@given(streams, st.lists(st.integers(min_value=0)), st.integers(min_value=1, max_value=30))
@example(b"\xef\xbb\xbf", [], 1)
def test_cuts_do_not_matter(data: bytes, places: list[int], limit: int) -> None:
    whole = _read([data], limit)
    assert _read(_by_byte(data), limit) == whole
    assert _read(_cut(data, places), limit) == whole


@given(st.lists(st.binary().filter(lambda data: not set(data) & set(b"\r\n"))))
def test_what_is_sent_arrives(payloads: list[bytes]) -> None:
    sent = b"".join(b"data: " + payload + b"\n\n" for payload in payloads)
    assert _read([sent])[0] == [Event(payload) for payload in payloads]


def test_an_event_over_the_limit_is_skipped_and_counted_and_the_next_one_read() -> None:
    data = b"data: " + b"x" * 100 + b"\n\ndata: a\n\n"
    for chunks in ([data], _by_byte(data)):
        assert _read(chunks, limit=50) == ([Event(b"a")], 1, Event(b"x" * 44))


@pytest.mark.parametrize(
    ("data", "front"),
    [
        (b"event: e\ndata: {" + b"x" * 100 + b"\n\n", Event(b"{" + b"x" * 34, b"e")),
        (b": ping\nevent: e\ndata: {" + b"x" * 100 + b"\n\n", Event(b"{" + b"x" * 27, b"e")),
        (b"data: " + b"x" * 100 + b"\nevent: e\n\n", Event(b"x" * 44)),
        (b": " + b"x" * 100 + b"\n\n", None),
        (b"event: e\ndata: {" + b"x" * 100, None),
    ],
    ids=["name in front", "comment in front", "name behind", "no event", "not ended"],
)
def test_the_front_of_a_skipped_event_that_ended_is_known(data: bytes, front: Event | None) -> None:
    for chunks in ([data], _by_byte(data)):
        assert _read(chunks, limit=50)[1:] == (1, front)


def test_the_last_skipped_event_is_the_one_told() -> None:
    data = b"".join(b"event: e%d\ndata: %100d\n\n" % (n, n) for n in range(3))
    for chunks in ([data], _by_byte(data)):
        _, skipped, front = _read(chunks, limit=50)
        assert (skipped, front and front.name) == (3, b"e2")


def test_an_endless_event_is_not_held() -> None:
    stream = EventStream(limit=1000)
    for _ in range(10_000):
        assert stream.feed(b"data: " + b"x" * 100 + b"\n") == []
    assert len(stream._held) <= 1000
    assert stream.feed(b"\ndata: a\n\n") == [Event(b"a")]
    assert stream.skipped == 1


def test_an_event_is_there_with_its_last_byte_even_with_lone_carriage_returns() -> None:
    stream = EventStream()
    assert stream.feed(b"data: a\r") == []
    assert stream.feed(b"\r") == [Event(b"a")]
    assert stream.feed(b"\ndata: b\n\n") == [Event(b"b")]
