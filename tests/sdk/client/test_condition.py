"""Conditions as people write them: read, written, refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remora.client.condition import SIGNS, Condition, Operator, parse_condition, to_message
from remora.errors import BadRequest
from remora_proto.v1 import records_pb2 as pb

FIELDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_./-]{0,30}", fullmatch=True)
WITHOUT = (Operator.PRESENT, Operator.ABSENT)
MANY = (Operator.EQUAL, Operator.NOT_EQUAL, Operator.GLOB, Operator.NOT_GLOB)


@st.composite
def conditions(draw):
    operator = draw(st.sampled_from(Operator))
    if operator in WITHOUT:
        values = ()
    elif operator in MANY:
        values = tuple(draw(st.lists(st.text(), min_size=1, max_size=4)))
    else:
        values = (draw(st.text(min_size=1)),)
    return Condition(draw(FIELDS), operator, values)


@pytest.mark.parametrize(
    ("text", "field", "operator", "values"),
    [
        ("provider=openai", "provider", Operator.EQUAL, ("openai",)),
        ("provider=a|b", "provider", Operator.EQUAL, ("a", "b")),
        ("error.type=", "error.type", Operator.EQUAL, ("",)),
        ("error.type=x|", "error.type", Operator.EQUAL, ("x", "")),
        ("error.type!=x", "error.type", Operator.NOT_EQUAL, ("x",)),
        ("latency_s>=2", "latency_s", Operator.GREATER_OR_EQUAL, ("2",)),
        ("latency_s>2", "latency_s", Operator.GREATER, ("2",)),
        ("cost.total_usd<0.1", "cost.total_usd", Operator.LESS, ("0.1",)),
        ("cost.total_usd<=-1", "cost.total_usd", Operator.LESS_OR_EQUAL, ("-1",)),
        ("model~gpt-*|o?", "model", Operator.GLOB, ("gpt-*", "o?")),
        ("model!~*-x", "model", Operator.NOT_GLOB, ("*-x",)),
        ("ttft_s?", "ttft_s", Operator.PRESENT, ()),
        ("ttft_s!?", "ttft_s", Operator.ABSENT, ()),
        ("labels.app.kubernetes.io/name=a b", "labels.app.kubernetes.io/name", Operator.EQUAL,
         ("a b",)),
        (r"url=a\|b|c\\d", "url", Operator.EQUAL, ("a|b", "c\\d")),
        (r"url=\=x", "url", Operator.EQUAL, ("=x",)),
        ("url=a=b~c!?", "url", Operator.EQUAL, ("a=b~c!?",)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_a_condition_is_a_field_an_operator_and_values(text, field, operator, values):
    assert parse_condition(text) == Condition(field, operator, values)


@pytest.mark.parametrize(
    ("text", "character", "what"),
    [
        ("", 1, "a field"),
        ("=x", 1, "a field"),
        (" model=x", 1, "a field"),
        ("model", 6, "is expected, not the end"),
        ("model =x", 6, "one of != !~"),
        ("model!x", 6, "one of != !~"),
        ("model==x", 7, "is written \\\\="),
        ("model=~x", 7, "is written \\\\~"),
        ("model~=x", 7, "is written \\\\="),
        ("latency_s=>2", 11, "is written \\\\>"),
        ("latency_s=<2", 11, "is written \\\\<"),
        ("latency_s<", 11, "one value is expected"),
        ("latency_s<1|2", 11, "one value is expected"),
        ("ttft_s?1", 8, "nothing is expected"),
        (r"url=a\b", 7, "after a backslash"),
        ("url=a\\", 7, "after a backslash"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_condition_is_refused_with_the_place(text, character, what):
    with pytest.raises(BadRequest, match=what) as refusal:
        parse_condition(text)
    assert f"at character {character} " in str(refusal.value)


def test_a_condition_without_end_is_refused_and_not_repeated():
    with pytest.raises(BadRequest) as refusal:
        parse_condition("a=" + "x" * 100_000)
    assert len(str(refusal.value)) < 200


@given(conditions())
@example(Condition("a", Operator.EQUAL, ("", "")))
@example(Condition("a", Operator.GLOB, ("\\", "|")))
def test_what_is_written_is_read_as_the_same(condition):
    assert parse_condition(str(condition)) == condition


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("=!<>~?|\\ab._")), max_size=40))
def test_any_text_is_a_condition_that_comes_back_or_is_refused_with_a_place(text):
    condition, refusal = _read(text)
    if condition is None:
        assert "at character " in refusal
    else:
        assert parse_condition(str(condition)) == condition


def _read(text):
    try:
        return parse_condition(text), ""
    except BadRequest as refusal:
        return None, str(refusal)


@pytest.mark.parametrize("operator", list(Operator), ids=lambda operator: operator.name)
def test_every_operator_has_a_sign_and_the_number_of_the_wire(operator):
    assert list(SIGNS.values()).count(operator) == 1
    assert pb.Condition.Operator.Value(f"OPERATOR_{operator.name}") == operator.value


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("labels.app=x", "origin.labels.app"),
        ("trace_id=x", "attribution.trace_id"),
        ("node=x", "origin.node"),
        ("usage.input_tokens>1", "usage.input_tokens"),
    ],
)
def test_names_of_the_json_are_taken_for_the_fields_they_show(written, path):
    message = to_message(parse_condition(written))
    assert message.field == path
    assert message.operator == parse_condition(written).operator.value
