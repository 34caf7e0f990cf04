import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remora_aggregator.store import spread
from remora_aggregator.store.spread import Spread
from remora_proto.v1 import totals_pb2 as pb

VALUES = st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=200)
COUNTS = st.dictionaries(
    st.integers(spread.bucket_of(0), spread.bucket_of(math.inf)),
    st.one_of(st.integers(-200, 200), st.integers(-(1 << 60), 1 << 60)),
)


def _counted(values):
    counts = Spread()
    for value in values:
        counts.count(spread.bucket_of(value))
    return counts


def _of(counts):
    made = Spread()
    for bucket, count in counts.items():
        made.count(bucket, count)
    return made


def _taken_together(one, other):
    return {at: one.get(at, 0) + other.get(at, 0) for at in one | other}


def _stated(counts):
    return {bucket: count for bucket, count in counts.items() if count}


@given(values=VALUES, part=st.floats(0, 1))
def test_a_quantile_is_within_its_error_of_the_true_value(values, part):
    ordered = sorted(values)
    true = ordered[math.floor(part * (len(ordered) - 1))]
    told = spread.quantile(_counted(values), part)
    assert abs(told - true) <= true * (spread.ERROR + 1e-9)


@given(one=VALUES, other=VALUES)
def test_parts_add_up_to_the_whole(one, other):
    parts = _counted(one)
    parts.add(_counted(other))
    assert parts == _counted(one + other)
    for value in other:
        parts.count(spread.bucket_of(value), -1)
    assert parts == _counted(one)


@given(kept=st.tuples(COUNTS, COUNTS, COUNTS))
@example(kept=({0: 127}, {0: 128}, {5: -128, 7: -129}))
@example(kept=({1: 1 << 31}, {1: -(1 << 31)}, {-300: (1 << 63) - 1, 400: -(1 << 63)}))
def test_what_is_kept_is_read_as_it_was(kept):
    read = (Spread(), Spread(), Spread())
    spread.add_kept(read, spread.written(map(_of, kept)))
    assert [dict(each.items()) for each in read] == list(map(_stated, kept))
    assert [bool(each) for each in read] == [bool(_stated(each)) for each in kept]


@given(one=COUNTS, other=COUNTS, new=COUNTS)
def test_what_is_kept_in_either_form_is_added_to_what_is_there(one, other, new):
    form = pb.Spread(buckets=other.keys(), counts=other.values())
    message = pb.Spreads(latency=form, ttft=form, overhead=form).SerializeToString()
    for kept in (message, spread.written(map(_of, (other, other, other)))):
        into = (_of(one), _of(one), Spread())
        into[1].items()  # as it is once it was read
        spread.add_kept(into, kept)
        whole = _stated(_taken_together(one, other))
        assert [dict(each.items()) for each in into] == [whole, whole, _stated(other)]
        into[0].add(_of(new))
        assert dict(into[0].items()) == _stated(_taken_together(whole, new))


def test_what_was_added_up_shares_nothing_with_its_parts():
    part, whole = _of({1: 5}), Spread()
    part.items()
    whole.add(part)
    whole.count(1)
    assert (dict(part.items()), dict(whole.items())) == ({1: 5}, {1: 6})


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, -math.inf], ids=str)
def test_what_is_no_time_counts_as_the_least(value):
    assert spread.bucket_of(value) == spread.bucket_of(spread.LEAST_S)


def test_endless_times_count_as_the_most():
    assert spread.bucket_of(math.inf) == spread.bucket_of(spread.MOST_S)


def test_nothing_has_no_quantile():
    assert spread.quantile(Spread(), 0.5) is None
    assert spread.quantile(_of({3: -1}), 0.5) is None
