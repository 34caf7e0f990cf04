"""Calls and tokens per minute, by a clock that the tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.limits import Rate
from remora_sidecar.policy.rates import MAX_MODELS, Bucket, Rates


def rate(name="rate", **fields):
    return Rate.model_validate({"name": name, **fields})


def test_without_rates_every_call_goes():
    rates = Rates()
    admission = rates.admit("gpt-4o", 10**9, 0.0)
    rates.settle(admission.hold, 5, 1.0)

    assert admission.refusal is None


@pytest.mark.parametrize("per_minute", [1, 7, 60, 997])
@pytest.mark.parametrize("now_s", [0.0, 1_000.0, 12_345_678.9])
def test_a_minutes_worth_goes_at_once_and_then_one_as_room_is_made(per_minute, now_s):
    rates = Rates([rate(requestsPerMinute=per_minute)])
    assert all(rates.admit("m", 0, now_s).hold for _ in range(per_minute))

    refusal = rates.admit("m", 0, now_s).refusal
    assert (refusal.name, refusal.of, refusal.limit_per_minute) == ("rate", "requests", per_minute)
    assert refusal.retry_after_s == pytest.approx(60 / per_minute, rel=1e-3)
    assert rates.admit("m", 0, now_s + refusal.retry_after_s * 0.9).hold is None
    assert rates.admit("m", 0, now_s + refusal.retry_after_s).hold is not None


def test_tokens_are_corrected_by_what_the_call_used():
    rates = Rates([rate(tokensPerMinute=1000)])
    less = rates.admit("m", 600, 0.0).hold
    assert rates.admit("m", 600, 0.0).refusal.of == "tokens"

    rates.settle(less, 300, 0.0)
    rates.settle(less, 0, 0.0)
    more = rates.admit("m", 700, 0.0).hold
    rates.settle(more, 1700, 0.0)
    assert rates.admit("m", 1, 0.0).refusal.retry_after_s == pytest.approx(60.06)


def test_a_call_larger_than_a_minutes_tokens_goes_when_nothing_was_used():
    rates = Rates([rate(tokensPerMinute=1000)])
    assert rates.admit("m", 5000, 0.0).hold is not None

    assert rates.admit("m", 5000, 299.0).refusal.retry_after_s == pytest.approx(1.0)
    assert rates.admit("m", 5000, 300.0).hold is not None


def test_a_refund_gives_back_call_and_tokens_once():
    rates = Rates([rate(requestsPerMinute=1, tokensPerMinute=100)])
    hold = rates.admit("m", 100, 0.0).hold
    rates.refund(hold, 0.0)
    rates.refund(hold, 0.0)

    assert rates.admit("m", 100, 0.0).hold is not None
    assert rates.admit("m", 0, 0.0).hold is None


@pytest.mark.parametrize(
    ("globs", "first", "second", "together"),
    [
        ([], "gpt-4o", "gpt-4o", True),
        ([], "gpt-4o", "GPT-4o", True),
        ([], "gpt-4o", "claude", False),
        (["gpt-*"], "gpt-4o", "gpt-4.1", True),
        (["gpt-*"], "gpt-4o", "claude", False),
        (["gpt-*", "claude*"], "gpt-4o", "claude", True),
    ],
)
def test_models_count_together_as_the_rate_says(globs, first, second, together):
    rates = Rates([rate(models=globs, requestsPerMinute=1)])
    rates.admit(first, 0, 0.0)

    assert (rates.admit(second, 0, 0.0).hold is None) == together


def test_a_call_that_one_rate_refuses_takes_nothing_of_the_others():
    rates = Rates([rate("wide", requestsPerMinute=2), rate("narrow", tokensPerMinute=10)])
    rates.admit("m", 10, 0.0)
    refusal = rates.admit("m", 10, 0.0).refusal

    assert refusal.name == "narrow"
    assert rates.admit("m", 0, 0.0).hold is not None
    assert rates.admit("m", 0, 0.0).refusal.name == "wide"


def test_the_longest_wait_is_told():
    rates = Rates([rate("short", requestsPerMinute=60), rate("long", requestsPerMinute=2)])
    for _ in range(2):
        rates.admit("m", 0, 0.0)

    assert rates.admit("m", 0, 0.0).refusal.name == "long"


def test_a_rate_that_is_the_same_goes_on_after_a_change():
    rates = Rates([rate("one", requestsPerMinute=1)])
    rates.admit("m", 0, 0.0)
    rates.apply([rate("one", requestsPerMinute=1), rate("two", requestsPerMinute=9)])
    assert rates.admit("m", 0, 0.0).refusal.name == "one"

    rates.apply([rate("one", requestsPerMinute=2)])
    assert rates.admit("m", 0, 0.0).hold is not None


def test_memory_is_bounded_whatever_models_agents_name():
    rates = Rates([rate(requestsPerMinute=60)])
    for number in range(3 * MAX_MODELS):
        rates.admit(f"model-{number}", 0, 0.0)

    [book] = rates._books
    assert len(book._by_model) == MAX_MODELS


@given(
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 400)), max_size=60),
    per_minute=st.integers(1, 1000),
)
def test_no_stretch_of_time_admits_more_than_a_full_bucket_and_what_flows_in(steps, per_minute):
    bucket, now_s, admitted = Bucket(per_minute), 0.0, []
    for pause_s, amount in steps:
        now_s += pause_s
        wait_s = bucket.wait_s(amount, now_s)
        if wait_s == 0:
            bucket.take(amount, now_s)
            admitted.append((now_s, min(amount, per_minute)))
        else:
            assert bucket.wait_s(amount, now_s + wait_s) == 0

    for begin, (first_s, _) in enumerate(admitted):
        for end in range(begin, len(admitted)):
            flowed = per_minute * (1 + (admitted[end][0] - first_s) / 60)
            assert sum(amount for _, amount in admitted[begin : end + 1]) <= flowed + 1e-3
