"""How many events have come, in every framing and wherever the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.aws_events import aws_event
from remora.testing.streamed_answers import STREAMED_ANSWERS
from remora_sidecar.dialects.framing.event_count import EventCount


def pieces_of(content, cuts):
    bounds = sorted({0, len(content), *(cut for cut in cuts if 0 < cut < len(content))})
    return [content[start:end] for start, end in pairwise(bounds)]


def counted(*pieces):
    count = EventCount()
    for piece in pieces:
        count.feed(piece)
    return count.events, count.left


COUNTED = {
    "nothing": (b"", (0, 0)),
    "white space": (b" \r\n\t", (0, 0)),
    "an event": (b"data: 1\n\n", (1, 0)),
    "an event with CRLF": (b"data: 1\r\n\r\n", (1, 0)),
    "an event with CR": (b"data: 1\r\rdata", (1, 4)),
    "an event of two lines": (b"event: x\ndata: 1\n\n", (1, 0)),
    "half an event": (b"data: 1\n", (0, 8)),
    "an event and a half": (b"data: 1\n\ndata: 2\n", (1, 8)),
    "a comment": (b": ping\n\n", (1, 0)),
    "a byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", (1, 0)),
    "lines": (b'{"a":1}\n{"a":2}\n{"a', (2, 3)),
    "an array": (b'[{"a":1},\r\n{"a":"]}"},\n{"a', (2, 0)),
    "an empty array": (b"[]", (0, 0)),
    "AWS messages": (aws_event("a", {}) * 3 + aws_event("a", {})[:9], (3, 0)),
}


@pytest.mark.parametrize(("content", "expected"), COUNTED.values(), ids=COUNTED)
def test_events_that_came_to_their_end_are_counted(content, expected):
    assert counted(content) == expected
    assert counted(*pieces_of(content, range(len(content)))) == expected


_LINES = st.lists(st.text("abc:{} ", min_size=1, max_size=8), min_size=1, max_size=3)


@given(
    st.lists(_LINES, min_size=1, max_size=20),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400), max_size=30),
)
def test_events_are_counted_alike_wherever_they_are_cut(events, end, cuts):
    text = "".join("".join("d" + line + end for line in lines) + end for lines in events).encode()
    assert counted(*pieces_of(text, cuts)) == (len(events), 0)


@given(st.sampled_from(list(STREAMED_ANSWERS)), st.lists(st.integers(0, 3000), max_size=40))
def test_a_whole_answers_events_are_counted_alike_wherever_it_is_cut(name, cuts):
    said = STREAMED_ANSWERS[name]
    whole = counted(said.whole)
    assert counted(*pieces_of(said.whole, cuts)) == whole
    assert whole[0] > len(said.start)


@given(st.binary(), st.lists(st.integers(0, 200)))
def test_no_bytes_make_it_raise(content, cuts):
    events, left = counted(*pieces_of(content, cuts))
    assert 0 <= events <= len(content)
    assert 0 <= left <= len(content)
