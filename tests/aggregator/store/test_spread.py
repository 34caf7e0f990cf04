import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.store import spread

VALUES = st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=200)


def _counted(values):
    counts = {}
    for value in values:
        spread.add(counts, {spread.bucket_of(value): 1})
    return counts


@given(values=VALUES, part=st.floats(0, 1))
def test_a_quantile_is_within_its_error_of_the_true_value(values, part):
    ordered = sorted(values)
    true = ordered[math.floor(part * (len(ordered) - 1))]
    told = spread.quantile(_counted(values), part)
    assert abs(told - true) <= true * (spread.ERROR + 1e-9)


@given(one=VALUES, other=VALUES)
def test_parts_add_up_to_the_whole(one, other):
    whole = _counted(one + other)
    parts = _counted(one)
    spread.add(parts, _counted(other))
    assert parts == whole
    spread.add(parts, _counted(other), -1)
    assert parts == _counted(one)


@given(values=VALUES)
def test_what_is_kept_is_read_as_it_was(values):
    counts = _counted(values)
    assert spread.read(spread.written(counts)) == counts


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, -math.inf], ids=str)
def test_what_is_no_time_counts_as_the_least(value):
    assert spread.bucket_of(value) == spread.bucket_of(spread.LEAST_S)


def test_endless_times_count_as_the_most():
    assert spread.bucket_of(math.inf) == spread.bucket_of(spread.MOST_S)


def test_nothing_has_no_quantile():
    assert spread.quantile({}, 0.5) is None
    assert spread.quantile({3: -1}, 0.5) is None
