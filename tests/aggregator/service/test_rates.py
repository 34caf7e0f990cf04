"""Token buckets under a clock that the tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.service.rates import Buckets, Limits, Rate, RateLimited

SLOW = Rate(per_s=2.0, burst=4.0)


def test_a_burst_is_let_through_and_then_the_rate_holds():
    buckets = Buckets(SLOW)
    assert [buckets.take("a", 1, 0.0) for _ in range(4)] == [0.0] * 4
    assert (buckets.wait_s("a", 0.0), buckets.wait_s("a", 0.0, need=1)) == (0.0, 0.5)
    assert buckets.take("a", 1, 0.0) == 0.5
    assert buckets.wait_s("a", 0.6) == 0.0


def test_one_is_not_charged_for_another():
    buckets = Buckets(SLOW)
    buckets.take("a", 100, 0.0)
    assert buckets.wait_s("b", 0.0) == 0.0


def test_more_than_the_burst_can_be_taken_and_is_owed():
    buckets = Buckets(SLOW)
    assert buckets.take("a", 24, 0.0) == 10.0
    assert buckets.wait_s("a", 4.0) == 6.0


def test_a_rate_of_nothing_is_no_limit():
    buckets = Buckets(Rate(0, 0))
    assert (buckets.take("a", 1e9, 0.0), buckets.wait_s("a", 0.0), len(buckets)) == (0.0, 0.0, 0)


def test_only_so_many_are_remembered_and_the_quietest_is_forgotten():
    buckets = Buckets(SLOW, most=2)
    for name in ("a", "b", "a", "c"):
        buckets.take(name, 4, 0.0)
    assert len(buckets) == 2
    assert (buckets.wait_s("a", 0.0) > 0, buckets.wait_s("b", 0.0)) == (True, 0.0)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), min_size=1, max_size=40))
def test_who_waits_as_told_never_takes_more_than_the_rate_allows(steps):
    """Each step: an amount, and how much later than allowed it is asked for."""
    buckets, now_s, taken, last = Buckets(SLOW), 0.0, 0.0, 0.0
    for amount, later_s in steps:
        now_s += buckets.wait_s("a", now_s) + later_s
        buckets.take("a", amount, now_s)
        taken, last = taken + amount, amount
    assert taken - last <= SLOW.burst + SLOW.per_s * now_s + 1e-6


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), max_size=30))
def test_a_clock_that_goes_back_gives_nothing_away(steps):
    buckets, now_s = Buckets(SLOW), 0.0
    for amount, passed_s in steps:
        now_s += passed_s
        assert buckets.take("a", amount, now_s) >= 0.0
    assert buckets.wait_s("a", now_s) >= 0.0


def test_who_owes_too_much_is_told_of_what_and_when_to_come_again():
    limits = Limits({"records": SLOW, "queries": Rate(1, 1)})
    assert limits.charge("a", {"records": 24, "bytes": 1e9}, 0.0) == 10.0
    limits.check("a", ("queries", "bytes"), 0.0)
    limits.check("a", ("records",), 0.0, patience_s=10.0)
    with pytest.raises(RateLimited, match=r"too many records at once: come again in 10\.0 s") as no:
        limits.check("a", ("queries", "records"), 0.0, patience_s=9.0)
    assert (no.value.status, no.value.retry_after_s) == (429, 10.0)
    limits.check("a", ("records",), 11.0)
