"""Money in answers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.api_client.amounts import with_amounts, without_amounts

USD = st.decimals(0, 10**9, places=12)


@given(USD)
def test_a_sum_comes_through_to_its_last_digit(usd):
    read = with_amounts({"total_cost_usd": format(usd, "f")})
    assert read == {"total_cost_usd": usd}
    assert without_amounts(read) == {"total_cost_usd": format(usd, "f")}


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("0.1", Decimal("0.1")),
        (0.1, Decimal("0.1")),
        (3, Decimal(3)),
        (None, None),
        ("NaN", "NaN"),
        ("much", "much"),
        (True, True),
    ],
)
def test_what_is_no_sum_stays_as_it_is(value, read):
    got = with_amounts({"steps": [{"cost_usd": value}]})["steps"][0]["cost_usd"]
    assert (got, type(got)) == (read, type(read))


@pytest.mark.parametrize("name", ["outputs", "output", "input", "document", "examples"])
def test_what_people_and_models_wrote_is_not_read(name):
    value = {name: {"price_usd": "12", "rows": [{"cost_usd": "1"}]}, "cost_usd": "1"}
    assert with_amounts(value) == {**value, "cost_usd": Decimal(1)}
