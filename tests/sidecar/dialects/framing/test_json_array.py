import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.base import Completeness
from remora_sidecar.dialects.framing.json_array import JsonArray
from remora_sidecar.dialects.framing.long_lines import LONG_BYTES

leaves = st.none() | st.integers(-9, 9) | st.text() | st.sampled_from(['"\\', "}]{["])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=4)


def _nobody(*_: object) -> None:
    """Take what no test looks at."""


def _read(*pieces: bytes, limit: int = 1000) -> tuple[list[Mapping[str, Any]], JsonArray]:
    taken: list[Mapping[str, Any]] = []
    array = JsonArray(limit)
    for piece in pieces:
        array.feed(piece, lambda value, _: taken.append(value))
    return taken, array


def _pieces(whole: bytes, data: st.DataObject) -> list[bytes]:
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]


@pytest.mark.parametrize(
    ("body", "elements", "ended"),
    [
        (b"[]", [], True),
        (b'[{"a":1},{"b":2}]', [{"a": 1}, {"b": 2}], True),
        (b'[{\n "a": {"b": [{}]}\n}\n,\r\n{"c":2}\n]\n', [{"a": {"b": [{}]}}, {"c": 2}], True),
        (b'[{"a":"}]\\"{"}]', [{"a": '}]"{'}], True),
        (b'[{"a":"\\\\"}]', [{"a": "\\"}], True),
        (b'[{"a":1}\n', [{"a": 1}], False),
        (b'[{"a":1},{"b":', [{"a": 1}], False),
        (b'[{"a":1},{"b":"]', [{"a": 1}], False),
        (b'[{"a":1}]{"b":2}]', [{"a": 1}], True),
        (b'[{"a":1}{"b":2}]', [{"a": 1}, {"b": 2}], True),
        (b'[1,{"a":NaN},{a},"x{",{"b":"\xff"}]', [{"a": pytest.approx(float("nan"), nan_ok=True)},
         {"b": "\ufffd"}], True),
    ],
    ids=["empty", "compact", "as Google writes it", "marks in strings", "escaped backslash",
         "not closed", "cut in an element", "cut in a string", "behind the end", "no comma",
         "what is no JSON"],
)  # fmt: skip
def test_each_element_is_handed_on_and_the_end_is_seen(
    body: bytes, elements: list[Any], ended: bool
) -> None:
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        taken, array = _read(*pieces)
        assert taken == elements
        assert array.ended is ended
        assert array.finish(_nobody) is (Completeness.WHOLE if ended else Completeness.CUT)


def test_an_element_is_handed_on_as_soon_as_it_is_whole() -> None:
    taken, array = _read(b'[{"a":1}')
    assert taken == [{"a": 1}]
    array.feed(b",\r\n", lambda value, _: taken.append(value))
    array.feed(b'{"b":2', lambda value, _: taken.append(value))
    assert len(taken) == 1
    array.feed(b"}", lambda value, _: taken.append(value))
    assert taken == [{"a": 1}, {"b": 2}]


def test_an_element_that_is_too_large_is_passed_over_and_told() -> None:
    large = json.dumps({"a": ["x"] * 1000}).encode()
    rest = b',{"b":1}]'
    cut = [b"[", large[:50], large[50:], rest]
    for pieces in ([b"[" + large + rest], cut, [b"[", large, rest]):
        taken, array = _read(*pieces)
        assert taken == [{"b": 1}]
        assert array.problem == "1 elements were too large to be read"
        assert array.ended
    assert _read(b"[{}]")[1].problem == ""


def test_a_picture_of_any_size_is_taken_out_of_its_element() -> None:
    large = b'{"data":"' + b"x" * (2 * LONG_BYTES) + b'","b":1}'
    for pieces in ([large], [large[:50], large[50:LONG_BYTES], large[LONG_BYTES:]]):
        taken, array = _read(b"[", *pieces, b"]", limit=2 * LONG_BYTES)
        assert taken == [{"data": "", "b": 1}]
        assert array.problem == ""


def test_endless_elements_and_strings_are_not_held() -> None:
    for piece in (b'"' + b"x" * 65536, b"{" * 65536, b"1," * 32768, b"\\" * 65536):
        array = _read(b'[{"a":', limit=LONG_BYTES * 2)[1]
        for _ in range(10):
            array.feed(piece, _nobody)
        assert len(array._held) <= LONG_BYTES * 2


@given(objects, st.sampled_from([None, 0, 2]), st.data())
def test_any_array_of_objects_is_read_however_it_is_cut(
    value: list[dict[str, Any]], indent: int | None, data: st.DataObject
) -> None:
    whole = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
    taken, array = _read(*_pieces(whole, data), limit=LONG_BYTES)
    assert taken == json.loads(whole)
    assert array.ended


marks = st.lists(
    st.sampled_from([b'"', b"\\", b"[", b"]", b"{", b"}", b",", b" ", b"\n", b'"a":1'])
)


def test_what_follows_the_array_is_no_element() -> None:
    for pieces in ([b"]{" + b"\0" * 20], [b"]", b"{" + b"\0" * 20]):
        taken, array = _read(*pieces, limit=20)
        assert (taken, array.ended, array.problem) == ([], True, "")


@given(st.binary() | marks.map(b"".join), st.data())
def test_cuts_change_nothing_whatever_the_bytes(whole: bytes, data: st.DataObject) -> None:
    taken, array = _read(*_pieces(whole, data), limit=20)
    at_once, array_at_once = _read(whole, limit=20)
    assert (taken, array.ended, array.problem) == (
        at_once,
        array_at_once.ended,
        array_at_once.problem,
    )
