import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.receipt import CandidateReceipt, Receipt
from remora.records import Attempt, CallRecord, Cost, EndReason, Usage
from remora.router_messages import (
    MAX_ANSWER_BYTES,
    MAX_MODEL_CHARACTERS,
    RouterAnswer,
    answer_text,
    ask_text,
    read_answer,
    read_ask,
    record_text,
)
from remora.routing import RouteContext, RoutedSession

RECORD = CallRecord(
    call_id="0192f0c0a1b2c3d4e5f60718293a4b5c",
    started_unix_ns=1_767_225_600_123_456_789,
    provider="openai",
    sent_model="gpt-4o-mini",
    status_code=200,
    end_reason=EndReason.COMPLETED,
    usage=Usage(input_tokens=10, output_tokens=5),
    cost=Cost(Decimal("0.1"), Decimal("0.04"), Decimal("0.06"), "genai-prices", "2026-01-01"),
    latency_s=0.42,
    attempts=(Attempt("openai", "gpt-4o-mini", 200, 0.4),),
    receipt=Receipt("p", "v", candidates=(CandidateReceipt("openai", "gpt-4o-mini", 0.5),)),
    notes=("a remark — in ü",),
)
words = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=10,
)
sessions = st.builds(
    RoutedSession,
    session_id=words,
    data_id=st.none() | words,
    combo_id=st.none() | words,
    agent_id=st.none() | words,
)
contexts = st.builds(
    RouteContext,
    request_body=st.dictionaries(words, json_values, max_size=4),
    provider=words.filter(bool),
    requested_model=words,
    session=sessions,
    candidates=st.lists(words, max_size=3).map(tuple),
    history=st.just((RECORD,) * 2),
)


@given(st.integers(1, 2**53), contexts)
def test_an_ask_arrives_as_it_was_sent(number, context):
    ask = read_ask(ask_text(number, context, list(map(record_text, context.history))))

    assert ask.number == number
    assert ask.context.request_body == context.request_body
    assert ask.context.provider == context.provider
    assert ask.context.requested_model == context.requested_model
    assert ask.context.session == context.session
    assert ask.context.candidates == context.candidates
    assert tuple(ask.context.history) == context.history


def test_history_is_a_sequence_of_records():
    context = RouteContext({}, "openai", "gpt-4o", RoutedSession("sess_1"))
    history = read_ask(ask_text(1, context, [record_text(RECORD)] * 3)).context.history

    assert len(history) == 3
    assert history[0] == history[-1] == RECORD
    assert list(history[1:]) == [RECORD, RECORD]


def test_a_record_of_a_newer_sidecar_is_read_as_far_as_it_is_known():
    text = json.dumps({**json.loads(record_text(RECORD)), "mood": "good"})
    context = RouteContext({}, "openai", "gpt-4o", RoutedSession("sess_1"))

    assert list(read_ask(ask_text(1, context, [text])).context.history) == [RECORD]


def test_a_body_that_is_not_told_is_said_to_be_left_out():
    context = RouteContext({"model": "a"}, "openai", "a", RoutedSession("sess_1"))
    told = json.loads(ask_text(1, context, [], has_body=False))["context"]

    assert (told["request_body"], told["request_body_left_out"]) == ({}, True)


@given(
    st.integers(0, 2**53),
    st.none() | st.from_regex(r"[!-~]{1,40}", fullmatch=True),
    st.sampled_from(["", "ValueError"]),
)
def test_an_answer_arrives_as_it_was_sent(number, model, error):
    read = read_answer(answer_text(number, model, error))

    assert read == RouterAnswer(number, None if error else model, error)


def test_the_longest_model_fits_into_an_answer():
    model = "\U0001f600" * MAX_MODEL_CHARACTERS
    text = answer_text(2**53, model)

    assert len(text) <= MAX_ANSWER_BYTES
    assert read_answer(text).model == model


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_whatever_comes_is_read_or_refused(text):
    for read in (read_ask, read_answer):
        try:
            read(text)
        except ValueError:
            continue


@pytest.mark.parametrize("read", [read_ask, read_answer])
def test_a_message_nested_without_end_is_refused(read):
    with pytest.raises(ValueError, match="nested too deep"):
        read("[" * 200_000)
