"""Evidence in pieces of time: all of it, once, and in not more pieces than asked for."""

from hypothesis import given
from hypothesis import strategies as st
from tests.aggregator.signals.score_sums import DAY_MS, NOW_MS, counts, sums

from remora.learning.counts import NOTHING
from remora.learning.settings import LearningSettings
from remora_aggregator.signals.timeline import timeline, width_for

SETTINGS = LearningSettings()


def told(known, since_ms=NOW_MS - 7 * DAY_MS, until_ms=NOW_MS, points=60):
    return list(
        timeline(
            known, "team-a", SETTINGS,
            since_ms=since_ms, until_ms=until_ms, now_ms=NOW_MS, points=points,
        )
    )  # fmt: skip


def test_arms_stand_one_after_the_other_in_the_order_of_time():
    hours = [NOW_MS - hour * 3_600_000 for hour in (1, 30, 10)]
    found = told([sums(model, 1, 0, at_ms=at) for at in hours for model in "ba"])
    assert [point.arm[-1] for point in found] == list("aaabbb")
    starts = [point.start_ms for point in found]
    assert starts[:3] == sorted(starts[:3])
    assert [point.evidence for point in found] == [counts(1, 0)] * 6


def test_other_namespaces_and_other_times_are_left_out():
    known = [
        sums(good=1, namespace="team-b"),
        sums(good=1, at_ms=NOW_MS - 30 * DAY_MS),
        sums(good=1, at_ms=NOW_MS + DAY_MS),
    ]
    assert told(known) == []


MOMENTS = st.lists(st.integers(NOW_MS - 90 * DAY_MS, NOW_MS - 1), max_size=40)


@given(moments=MOMENTS, days=st.integers(1, 90), points=st.integers(1, 200))
def test_pieces_hold_all_evidence_of_their_time_once(moments, days, points):
    since_ms = NOW_MS - days * DAY_MS
    found = told([sums(good=1, at_ms=at) for at in moments], since_ms, points=points)
    whole = sum((point.evidence.good for point in found), 0.0)
    for point in found:
        assert point.start_ms < point.end_ms
        inside = [at for at in moments if point.start_ms <= at < point.end_ms]
        assert point.evidence == counts(len(inside), 0) != NOTHING
    assert whole >= sum(at >= since_ms for at in moments)
    ends = [point.end_ms for point in found]
    assert all(end <= point.start_ms for end, point in zip(ends, found[1:], strict=False))
    assert len(found) <= points + 1


@given(span_ms=st.integers(1, 10**12), points=st.integers(1, 1_000))
def test_so_many_pieces_are_enough_and_half_as_long_ones_are_not(span_ms, points):
    width_ms = width_for(span_ms, points)
    assert width_ms * points >= span_ms
    assert width_ms == 2_000 or width_ms / 2 * points < span_ms
