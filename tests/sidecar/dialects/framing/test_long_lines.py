import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.json_skim import KEPT_STRING_BYTES
from remora_sidecar.dialects.framing.long_lines import LONG_BYTES, LongLines

LONG = b"x" * (KEPT_STRING_BYTES + 1)


def _read(*pieces: bytes, long_bytes: int = 100) -> bytes:
    lines = LongLines(long_bytes)
    return b"".join(lines.feed(piece) for piece in pieces) + lines.flush()


@pytest.mark.parametrize(
    ("whole", "kept"),
    [
        (b"", b""),
        (b'data: {"a":[1,2]}\r\n\r\n', b'data: {"a":[1,2]}\r\n\r\n'),
        (b'{"a":[1,2]}', b'{"a":[1,2]}'),
        (b'data: {"a":"' + LONG + b'","b":[1,2]}\n\n', b'data: {"a":"","b":[]}\n\n'),
        (b'{"a":"b"}\n{"a":"' + LONG + b'"}', b'{"a":"b"}\n{"a":""}'),
        (b'"' + LONG + b'\n"b"\n', b'"\n"b"\n'),
        (b'{"a":[1,' + b"2," * 100 + b'\n{"b":[1]}\n', b'{"a":[\n{"b":[1]}\n'),
    ],
    ids=["empty", "event", "no line end", "long", "long behind short", "cut string", "cut numbers"],
)
def test_only_long_lines_lose_their_bulk(whole: bytes, kept: bytes) -> None:
    assert _read(whole) == kept
    assert _read(*(whole[i : i + 1] for i in range(len(whole)))) == kept


def test_whole_short_lines_are_not_held_back() -> None:
    lines = LongLines()
    assert lines.feed(b'{"a":1}\n') == b'{"a":1}\n'
    assert lines.feed(b'{"a":1}\n{"b"') == b'{"a":1}\n'
    assert lines.feed(b":2}\n") == b'{"b":2}\n'


def test_an_endless_line_is_not_held() -> None:
    lines = LongLines()
    kept = lines.feed(b'{"a":"')
    for _ in range(1000):
        kept += lines.feed(b"x" * 65536)
        assert len(lines._held) <= LONG_BYTES
    assert kept + lines.feed(b'"}\n') == b'{"a":""}\n'


pieces_of_lines = st.sampled_from(
    [b"\n", b'"', b"\\", b"[", b"]", b"1,", b"{", b"}", b"a" * 40, LONG, b"\r"]
)


@given(st.lists(pieces_of_lines | st.binary()).map(b"".join), st.data())
def test_cuts_change_nothing(whole: bytes, data: st.DataObject) -> None:
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    assert _read(*pieces) == _read(whole)
