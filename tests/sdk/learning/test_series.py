import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning.counts import MILLION, Counts
from remora.learning.series import FINEST_MS, Bucket, Series, merged

GOOD = Counts(MILLION, 0)
DAY_MS = 86_400_000
moments = st.integers(0, 90 * DAY_MS)
events = st.lists(st.tuples(moments, st.integers(0, 3 * MILLION), st.integers(0, 3 * MILLION)))


def series_of(many) -> Series:
    series = Series()
    for at_ms, good, bad in many:
        series.add(at_ms, Counts(good, bad))
    return series


@given(events, st.lists(moments, max_size=3), st.randoms(use_true_random=False))
def test_order_lateness_and_packing_between_never_matter(many, packings, chance):
    end_ms = 100 * DAY_MS
    at_once = series_of(many)
    at_once.pack(end_ms)
    shuffled = chance.sample(many, len(many))
    piecemeal = Series()
    for at_ms, good, bad in shuffled:
        piecemeal.add(at_ms, Counts(good, bad))
        for now_ms in packings:
            piecemeal.pack(now_ms)
    piecemeal.pack(end_ms)
    assert piecemeal == at_once


@given(events, events)
def test_replicas_add_up_and_can_be_taken_apart(mine, yours):
    whole, part = series_of([*mine, *yours]), series_of(yours)
    now_ms = 95 * DAY_MS
    both = merged([series_of(mine), part])
    part.pack(now_ms)
    rest = whole.without(part)
    for series in (whole, both, rest):
        series.pack(now_ms)
    only_mine = series_of(mine)
    only_mine.pack(now_ms)
    assert both == whole
    assert rest == only_mine


@given(events, st.data())
def test_what_is_taken_back_leaves_no_trace(many, data):
    taken = data.draw(st.lists(st.sampled_from(many)) if many else st.just([]))
    series = series_of(many)
    series.pack(50 * DAY_MS)
    for at_ms, good, bad in taken:
        series.add(at_ms, Counts(-good, -bad))
        series.add(at_ms, Counts(good, bad))
    expected = series_of(many)
    for each in (series, expected):
        each.pack(99 * DAY_MS)
    assert series == expected


def test_all_taken_back_is_nothing():
    series = series_of([(5_000, MILLION, 0)])
    series.pack(DAY_MS)
    series.add(5_000, Counts(-MILLION, 0))
    series.pack(2 * DAY_MS)
    assert len(series) == 0
    assert series.pieces() == []


def test_a_quarter_of_evidence_fits_into_few_buckets():
    series = Series()
    for at_ms in range(0, 90 * DAY_MS, 600_000):
        series.add(at_ms, GOOD)
    series.pack(90 * DAY_MS)
    assert len(series) < 180
    assert series.total.weight == 90 * 144


@given(moments, st.integers(0, 60 * DAY_MS))
def test_a_moment_is_known_to_within_an_eighth_of_its_age(at_ms, age_ms):
    series = Series()
    series.add(at_ms, GOOD)
    series.pack(at_ms + age_ms)
    piece = series.pieces()[0]
    assert piece.start_ms <= at_ms < piece.end_ms
    assert piece.end_ms - piece.start_ms <= max(FINEST_MS, age_ms / 8)


def test_what_is_older_than_is_kept_is_forgotten():
    series = series_of([(0, MILLION, 0), (9 * DAY_MS, MILLION, 0)])
    series.pack(10 * DAY_MS, keep_ms=2 * DAY_MS)
    assert series.total == GOOD


def test_pieces_come_in_the_order_of_time():
    series = Series()
    for at_ms in [n * 7_919_000 % DAY_MS for n in range(500)]:
        series.add(at_ms, GOOD)
    series.pack(DAY_MS)
    starts = [piece.start_ms for piece in series.pieces()]
    assert starts == sorted(starts)


def test_a_kept_series_is_the_same_when_it_is_read_again():
    series = series_of([(0, 1, 2), (DAY_MS, 3, 4)])
    assert Series(series.buckets()) == series
    assert series != Series()


@pytest.mark.parametrize("level", [0, 3, 12])
def test_both_halves_of_a_bucket_move_at_once(level):
    left, right = Bucket(level, 6), Bucket(level, 7)
    assert left.parent == right.parent
    for now_ms in range(
        left.start_ms, left.start_ms + (100 << level) * FINEST_MS, FINEST_MS << level
    ):
        assert left.is_due(now_ms) == right.is_due(now_ms)
