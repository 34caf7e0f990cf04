"""Server-sent events, however their bytes are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.api_client import server_sent_events
from remora.api_client.server_sent_events import EventReader, ServerSentEvent
from remora.errors import Unavailable

LINES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
EVENTS = st.lists(
    st.tuples(LINES, LINES.filter(bool), st.lists(LINES, min_size=1, max_size=3)), max_size=6
)


def read(*chunks: bytes) -> list[ServerSentEvent]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def cut(content: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[begin:end] for begin, end in itertools.pairwise(at)]


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0), max_size=12))
def test_events_come_out_as_they_were_written_wherever_bytes_are_cut(events, end, places):
    text = "".join(
        f"id: {id_}{end}event: {kind}{end}{''.join(f'data: {line}{end}' for line in data)}{end}"
        for id_, kind, data in events
    )
    wanted = [ServerSentEvent(id_, kind, "\n".join(data)) for id_, kind, data in events]
    assert read(*cut(text.encode(), places)) == wanted


@given(st.binary(max_size=200), st.lists(st.integers(0), max_size=12))
def test_whatever_comes_is_read_the_same_whole_and_cut(content, places):
    assert read(*cut(content, places)) == read(content)


EXAMPLES = [
    (b"data: a\n\n", [("", "message", "a")]),
    (b"data:a\n\n", [("", "message", "a")]),
    (b"data:  a\n\n", [("", "message", " a")]),
    (b"data\n\n", [("", "message", "")]),
    (b"\xef\xbb\xbfdata: a\n\n", [("", "message", "a")]),
    (b": beat\n\n", []),
    (b"event: x\n\ndata: a\n\n", [("", "message", "a")]),
    (b"id: 1\ndata: a\n\ndata: b\n\n", [("1", "message", "a"), ("1", "message", "b")]),
    (b"id: 1\ndata: a\n\nid: x\0\ndata: b\n\n", [("1", "message", "a"), ("1", "message", "b")]),
    (b"nonsense: 1\nretry: 3\ndata: a\n\n", [("", "message", "a")]),
    (b"data: a\n", []),
]


@pytest.mark.parametrize(("content", "events"), EXAMPLES, ids=[repr(c) for c, _ in EXAMPLES])
def test_the_standards_finer_points_hold(content, events):
    assert read(content) == [ServerSentEvent(*event) for event in events]


@pytest.mark.parametrize("piece", [b"x" * 50, b"data: " + b"x" * 43 + b"\n"], ids=["line", "lines"])
def test_an_event_without_end_is_given_up(monkeypatch, piece):
    monkeypatch.setattr(server_sent_events, "MAX_EVENT_BYTES", 200)
    with pytest.raises(Unavailable, match="longer than 200 bytes"):
        read(*[piece] * 10)
