import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.cache.canonical import MAX_BODY_BYTES, canonical, canonical_body

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


objects = st.dictionaries(texts, values)


@given(objects)
def test_it_writes_what_the_reference_library_writes(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_as_the_reference_library_writes_them(value):
    expected = rfc8785.dumps({"n": [value]})

    assert canonical({"n": [value]}) == expected


@given(objects)
def test_what_it_writes_is_read_as_the_same(value):
    assert json.loads(canonical(value), parse_int=float) == value


@given(objects, st.sampled_from([None, 1, 4]), st.booleans())
def test_order_space_and_escapes_do_not_matter(value, indent, ascii_only):
    turned = dict(reversed(value.items()))
    body = json.dumps(turned, indent=indent, ensure_ascii=ascii_only).encode()

    assert canonical_body(body) == canonical(value)


@given(st.binary() | texts.map(str.encode))
def test_any_bytes_are_an_object_or_have_no_canonical_form(body):
    written = canonical_body(body)
    assert written is None or written[:1] == b"{"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"m":{"x":1,"x":1}}',
        b'{"a":"\\u0022","b":1,"b":1}',
        b'{"a":"\\u0022"}',
        b'{"x":1,"\\u0078":2}',
        b"[1]",
        b"",
        b'{"a":NaN}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
    ],
    ids=[
        "name twice",
        "name twice inside",
        "name twice, hidden by escaped quotation marks",
        "escaped quotation mark, which might hide one",
        "name twice, once escaped",
        "array",
        "nothing",
        "no number",
        "no UTF-8",
        "lone surrogate",
    ],
)
def test_what_may_be_read_in_two_ways_has_no_canonical_form(body):
    assert canonical_body(body) is None


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**63])
def test_integers_that_other_readers_round_have_no_canonical_form(number):
    assert canonical({"seed": number}) is None


def test_numbers_that_are_equal_are_written_alike():
    assert canonical({"t": 1.0}) == canonical({"t": 1}) == b'{"t":1}'
    assert canonical({"t": -0.0}) == b'{"t":0}'


def test_nesting_past_all_reason_has_no_canonical_form():
    assert canonical_body(b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}") is None


def test_a_body_of_many_megabytes_counts_byte_by_byte():
    assert canonical_body(b'{"image":"%s"}' % bytes(MAX_BODY_BYTES).hex().encode()) is None


def test_members_are_left_out_of_the_outermost_object_alone():
    body = b'{"b": {"x": 1}, "x": 2, "a": 1.50}'

    assert canonical_body(body, {"x", "y"}) == b'{"a":1.5,"b":{"x":1}}'
