"""Cursors into lists of shared budgets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_aggregator.tasks.budgets import PERS, budget_cursor, budget_place
from remora_aggregator.tasks.leases import AccountKey

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)
TIMES = st.integers(0, (1 << 63) - 1)
KEYS = st.builds(AccountKey, TEXTS, TEXTS, st.sampled_from(PERS), TEXTS, TIMES, TIMES)


@given(KEYS)
def test_a_cursor_goes_on_after_the_very_key(key):
    assert budget_place(budget_cursor(key)) == key


def test_no_cursor_is_no_place():
    assert budget_place("") is None
    assert budget_cursor(None) == ""


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: "b" + raw.hex()))
def test_whatever_else_is_sent_is_refused_or_written_by_us(cursor):
    if not cursor:
        return
    try:
        key = budget_place(cursor)
    except BadRequest:
        return
    assert budget_cursor(key) == cursor


@pytest.mark.parametrize(
    "key",
    [
        ["a", "b", "task", "c", -1, 0],
        ["a", "b", "task", "c", 1 << 63, 0],
        ["a", "b", "task", "c", True, 0],
        ["a", "b", "pod", "c", 0, 0],
        ["a", "b\0", "task", "c", 0, 0],
        ["a", "b", "task", "c", 0],
        ["a", 1, "task", "c", 0, 0],
        {"a": 1},
    ],
    ids=repr,
)
def test_what_is_no_key_is_no_cursor(key):
    with pytest.raises(BadRequest):
        budget_place(budget_cursor(key))
