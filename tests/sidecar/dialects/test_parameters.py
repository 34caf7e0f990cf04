"""Parameters set in requests: what they say, and that nothing else changes."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remora_sidecar.dialects.parameters import (
    NOTHING_SET,
    overlaid,
    parameters,
    with_parameters,
)

SET = {
    "missing": (b'{"model":"m"}', {"temperature": 0}, b'{"model":"m","temperature":0}'),
    "in an empty object": (b"{ }", {"temperature": 0}, b'{ "temperature":0}'),
    "in its place": (
        b'{ "temperature" : 0.70 , "model":"m"}',
        {"temperature": 0},
        b'{ "temperature" : 0 , "model":"m"}',
    ),
    "text, and whatever is said in it": (
        b'{"messages":[{"content":"\\"temperature\\": 1, }"}]}',
        {"temperature": 0.5},
        b'{"messages":[{"content":"\\"temperature\\": 1, }"}],"temperature":0.5}',
    ),
    "not of an inner object": (
        b'{"metadata":{"temperature":"hot"}}',
        {"temperature": 1},
        b'{"metadata":{"temperature":"hot"},"temperature":1}',
    ),
    "within an object": (
        b'{"generationConfig": { "topK":3 },"contents":[]}',
        {"generationConfig.temperature": 0},
        b'{"generationConfig": { "topK":3 ,"temperature":0},"contents":[]}',
    ),
    "in place within an object": (
        b'{"generationConfig":{"temperature":  1,"topK":3}}',
        {"generationConfig.temperature": 0},
        b'{"generationConfig":{"temperature":  0,"topK":3}}',
    ),
    "with the objects that lead there": (
        b'{"contents":[]}',
        {"a.b.c": True, "a.d": "x"},
        b'{"contents":[],"a":{"b":{"c":true},"d":"x"}}',
    ),
    "where nothing stood": (b'{"reasoning":null}', {"reasoning.effort": "low"},
                            b'{"reasoning":{"effort":"low"}}'),
    "as often as it stands": (
        b'{"top_p":1,"x":2,"top_p":0.1}', {"top_p": 0.5}, b'{"top_p":0.5,"x":2,"top_p":0.5}',
    ),
    "however it is spelled": (
        b'{"\\u0074op_p":1}', {"top_p": 0.5}, b'{"\\u0074op_p":0.5}',
    ),
    "beyond ASCII": (b'{"stop":1}', {"stop": "\u00a7"}, b'{"stop":"\\u00a7"}'),
    "several": (
        b'{"max_tokens":5}', {"temperature": 0, "max_tokens": 7},
        b'{"max_tokens":7,"temperature":0}',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "wanted", "sent"), SET.values(), ids=SET)
def test_a_parameter_is_set_and_nothing_else(body, wanted, sent):
    assert with_parameters(body, parameters(wanted)) == sent


UNFIT = {
    "no JSON": (b"--form\r\n", {"temperature": 0}),
    "no object": (b"[1]", {"temperature": 0}),
    "nothing": (b"", {"temperature": 0}),
    "a text on the way": (b'{"a":"b"}', {"a.b": 1}),
    "a list on the way": (b'{"a":[]}', {"a.b": 1}),
    "another encoding": ('{"a":1}'.encode("utf-16"), {"b": 1}),
}


@pytest.mark.parametrize(("body", "wanted"), UNFIT.values(), ids=UNFIT)
def test_a_body_that_can_not_be_made_to_say_it_is_left(body, wanted):
    assert with_parameters(body, parameters(wanted)) is None


def test_nothing_to_set_changes_nothing():
    assert parameters({}) is NOTHING_SET
    assert with_parameters(b"anything", NOTHING_SET) == b"anything"


KEYS = st.sampled_from(["a", "b", "temperature", "generationConfig", "x y", "\u00e9", 'q"', ""])
LEAVES = st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4)
BODIES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)
WANTED = st.dictionaries(
    st.sampled_from(["a", "b", "temperature", "generationConfig.a", "generationConfig.b.c"]),
    st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=4),
    min_size=1,
    max_size=4,
)
SPACES = st.sampled_from([None, 0, 2])


def _is_led_to(asked, names):
    """Whether every name leads through objects, or through what is not there."""
    for name in names:
        at = asked
        for key in name.split(".")[:-1]:
            at = at.get(key)
            if at is None:
                break
            if not isinstance(at, dict):
                return False
    return True


@given(BODIES, WANTED, SPACES, st.booleans())
def test_what_is_sent_says_what_json_would(asked, wanted, indent, ascii_only):
    body = json.dumps(asked, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assume(json.loads(body) == asked)
    found = with_parameters(body, parameters(wanted))
    if not _is_led_to(asked, wanted):
        assert found is None
        return
    assert json.loads(found) == overlaid(asked, parameters(wanted))


@given(BODIES, WANTED)
def test_setting_it_again_changes_nothing(asked, wanted):
    once = with_parameters(json.dumps(asked).encode(), parameters(wanted))
    assume(once is not None)
    assert with_parameters(once, parameters(wanted)) == once


@given(st.binary(max_size=60), WANTED)
def test_no_bytes_make_it_raise(body, wanted):
    found = with_parameters(b'{"a":' + body, parameters(wanted))
    assert found is None or isinstance(json.loads(found.decode("utf-8", "replace")), dict)


@given(BODIES, WANTED)
def test_a_parsed_request_stays_as_it_was(asked, wanted):
    before = json.dumps(asked)
    overlaid(asked, parameters(wanted))
    assert json.dumps(asked) == before
