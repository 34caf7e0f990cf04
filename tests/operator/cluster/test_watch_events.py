import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import Unavailable
from remora_operator.cluster.watch_events import (
    MAX_LINE_BYTES,
    Event,
    Expired,
    Kind,
    Lines,
    read_event,
)


def _line(kind, **fields):
    return json.dumps({"type": kind, "object": {"metadata": {"resourceVersion": "7"}, **fields}})


@given(st.lists(st.binary(max_size=30).filter(lambda b: b and b"\n" not in b)), st.data())
def test_lines_are_the_same_however_their_bytes_are_cut(lines, data):
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    cutter = Lines()
    assert [line for piece in pieces for line in cutter.feed(piece)] == lines


def test_a_line_without_an_end_is_not_kept_for_ever():
    cutter = Lines()
    assert list(cutter.feed(b"x" * MAX_LINE_BYTES)) == []
    with pytest.raises(Unavailable, match="longer than any object"):
        list(cutter.feed(b"x"))


@pytest.mark.parametrize(
    ("kind", "means"),
    [
        ("ADDED", Kind.PUT),
        ("MODIFIED", Kind.PUT),
        ("DELETED", Kind.GONE),
        ("BOOKMARK", Kind.BOOKMARK),
    ],
)
def test_an_event_says_what_it_means_and_how_far_it_goes(kind, means):
    event = read_event(_line(kind, spec=1).encode())
    assert event == Event(means, {"metadata": {"resourceVersion": "7"}, "spec": 1}, "7")


def test_410_is_an_end_of_its_own():
    line = json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
    with pytest.raises(Expired):
        read_event(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "7",
        "{}",
        _line("SHOUTED"),
        '{"type": "ADDED", "object": {}}',
        '{"type": "ADDED", "object": []}',
        '{"type": "ERROR", "object": {"code": 500, "message": "etcd is sad"}}',
        '{"type": "ERROR", "object": 7}',
        '{"type": [], "object": {}}',
    ],
)
def test_whatever_else_comes_is_a_failure_of_the_server(line):
    with pytest.raises(Unavailable):
        read_event(line.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_failure(line):
    with suppress(Unavailable, Expired):
        assert read_event(line).version
