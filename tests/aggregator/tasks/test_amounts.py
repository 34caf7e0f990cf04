"""Money as text and as picodollars."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.tasks.amounts import (
    MAX_PICOUSD,
    MAX_TOKENS,
    Amount,
    Limit,
    minus,
    picousd_of,
    plus,
    tokens_of,
    usd_text,
)


@given(st.integers(0, MAX_PICOUSD))
def test_money_comes_back_as_it_was_written(picousd):
    assert picousd_of(usd_text(picousd)) == picousd


@given(st.decimals(0, 10**9, places=12, allow_nan=False))
def test_money_is_read_to_the_last_picodollar(usd):
    assert Decimal(picousd_of(str(usd))) == usd * 10**12


@pytest.mark.parametrize(
    ("text", "picousd"),
    [
        ("0", 0),
        ("-0", 0),
        ("0.000000000001", 1),
        ("0.0000000000001", 1),
        ("1e-999999", 1),
        ("0e-999999", 0),
        ("0.0000000000011", 2),
        ("2.5", 2_500_000_000_000),
        ("1e12", MAX_PICOUSD),
        ("1e13", MAX_PICOUSD),
        ("1e999999", MAX_PICOUSD),
    ],
    ids=lambda value: str(value)[:20],
)
def test_odd_amounts_count_as(text, picousd):
    assert picousd_of(text) == picousd


@pytest.mark.parametrize("text", ["", "much", "NaN", "sNaN", "-1", "Infinity", "-inf", "1" * 65])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="no decimal amount"):
        picousd_of(text)


def test_tokens_below_nothing_are_refused():
    with pytest.raises(ValueError, match="no number of tokens"):
        tokens_of(-1)


def test_sums_stay_at_their_bounds():
    most = Amount(MAX_PICOUSD, MAX_TOKENS)

    assert plus(most, Amount(1, 1)) == most
    assert minus(Amount(1, 2), Amount(3, 1)) == Amount(0, 1)


@pytest.mark.parametrize(
    ("limit", "reached"),
    [
        (Limit(10, None), True),
        (Limit(11, None), False),
        (Limit(None, 5), True),
        (Limit(11, 6), False),
        (Limit(11, 5), True),
        (Limit(None, None), False),
    ],
    ids=str,
)
def test_a_limit_is_reached_by_either_of_its_parts(limit, reached):
    assert limit.is_reached(Amount(10, 5)) is reached
