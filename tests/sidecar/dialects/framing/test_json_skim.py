import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.json_skim import KEPT_STRING_BYTES, Skimmer
from remora_sidecar.dialects.framing.json_values import UNREADABLE, parse_json

LONG = "x" * (KEPT_STRING_BYTES + 1)
KEPT = "x" * KEPT_STRING_BYTES

numbers = st.lists(st.integers(-9, 9) | st.floats(-1, 1), min_size=1)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([LONG, '"\\' * 3000]),
    lambda inner: st.lists(inner) | numbers | st.dictionaries(st.text(), inner),
)


def _skim(*pieces: bytes) -> bytes:
    skimmer = Skimmer()
    return b"".join(skimmer.feed(piece) for piece in pieces) + skimmer.flush()


def _only_numbers(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(type(item) in (int, float) for item in value)


def _without_bulk(value: Any) -> Any:
    if isinstance(value, str):
        return "" if len(json.dumps(value)) - 2 > KEPT_STRING_BYTES else value
    if isinstance(value, dict):
        return {_without_bulk(key): _without_bulk(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [] if _only_numbers(value) else [_without_bulk(item) for item in value]
    return value


def _begins_with_a_number(value: Any) -> bool:
    """Such a list of mixed things keeps its first things as one number."""
    if isinstance(value, dict):
        return any(map(_begins_with_a_number, value.values()))
    if not isinstance(value, list) or not value or _only_numbers(value):
        return False
    return type(value[0]) in (int, float) or any(map(_begins_with_a_number, value))


@pytest.mark.parametrize(
    ("whole", "kept"),
    [
        ('{"a":"b"}', '{"a":"b"}'),
        (f'{{"a":"{KEPT}"}}', f'{{"a":"{KEPT}"}}'),
        (f'{{"a":"{LONG}","b":1}}', '{"a":"","b":1}'),
        (f'["{LONG}\\"",1]', '["",1]'),
        (r'{"a":"\"[1,2]\\","b":[1]}', r'{"a":"\"[1,2]\\","b":[]}'),
        ('{"a":[ \n1.5e-3, -2 ]}', '{"a":[]}'),
        ('{"a":[[-1,2],[3]]}', '{"a":[[],[]]}'),
        ('[1,{"b":2}]', '[0,{"b":2}]'),
        ('[1,2,"c]",3]', '[0,"c]",3]'),
        ("[]", "[]"),
        ("[true]", "[true]"),
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
    ],
    ids=lambda text: text if len(text) < 40 else "long",
)
def test_long_strings_and_numbers_in_arrays_are_taken_out(whole: str, kept: str) -> None:
    assert _skim(whole.encode()) == kept.encode()
    assert _skim(*(bytes([byte]) for byte in whole.encode())) == kept.encode()


def test_a_line_end_ends_a_string_that_was_left_open() -> None:
    assert _skim(b': say "x\n\n', b'data: {"a": 1}\n\n') == b': say "x\n\ndata: {"a": 1}\n\n'
    assert _skim(b'"' + LONG.encode() + b'\n{"a":"b"}') == b'"\n{"a":"b"}'


@pytest.mark.parametrize("cut", [b'{"a":[1,2', b'{"a":"b', b'{"a":"b\\', b'{"a":[', b'{"a"'])
def test_what_was_cut_stays_cut(cut: bytes) -> None:
    assert parse_json(_skim(cut)) is UNREADABLE


@given(values.filter(lambda value: not _begins_with_a_number(value)))
def test_the_rest_of_any_json_is_kept(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1)):
        assert json.loads(_skim(text.encode())) == _without_bulk(value)


@given(values, st.data())
def test_cuts_change_nothing(value: Any, data: st.DataObject) -> None:
    whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    _assert_same_however_cut(whole, data)


marks = st.lists(st.sampled_from([b'"', b"\\", b"[", b"]", b"1", b" ", b"\n", b"{", b"a" * 300]))


@given(st.binary() | marks.map(b"".join), st.data())
def test_any_bytes_are_taken(whole: bytes, data: st.DataObject) -> None:
    _assert_same_however_cut(whole, data)


def _assert_same_however_cut(whole: bytes, data: st.DataObject) -> None:
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    assert _skim(*pieces) == _skim(whole)


def test_endless_strings_and_numbers_are_not_held() -> None:
    skimmer = Skimmer()
    kept = skimmer.feed(b'{"a":"')
    for _ in range(1000):
        kept += skimmer.feed(b"x" * 65536)
    kept += skimmer.feed(b'","b":[')
    for _ in range(1000):
        kept += skimmer.feed(b"0.25, " * 10000)
    assert kept + skimmer.feed(b"1]}") == b'{"a":"","b":[]}'
