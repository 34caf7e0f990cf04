import random

import pytest

from remora.learning.change import bound, latest_shift
from remora.learning.counts import Counts, counts_of
from remora.learning.series import Piece, Series

SECOND_MS = 1_000


def answers(*stretches: tuple[int, float], seed: int = 1) -> list[Piece]:
    """Give answers, one a second: for each stretch how many, and the share that is good."""
    chance, series, at_ms = random.Random(seed), Series(), 0  # noqa: S311 - no secret
    for number, share in stretches:
        for _ in range(number):
            series.add(at_ms, counts_of(float(chance.random() < share), 1.0))
            at_ms += SECOND_MS
    series.pack(at_ms)
    return series.pieces()


def test_most_falls_of_thirty_points_are_found_within_160_answers():
    found = [latest_shift(answers((500, 0.8), (160, 0.5), seed=seed), 0.05) for seed in range(20)]
    shifts = [shift for shift in found if shift is not None]
    assert len(shifts) >= 15
    assert sum(shift.fall for shift in shifts) / len(shifts) == pytest.approx(0.3, abs=0.06)
    assert all(abs(shift.at_ms - 500 * SECOND_MS) <= 60 * SECOND_MS for shift in shifts)


def test_of_two_changes_the_later_counts():
    shift = latest_shift(answers((400, 0.9), (300, 0.3), (300, 0.8)), 0.05)
    assert shift is not None
    assert shift.fall < -0.3
    assert shift.before.rate == pytest.approx(0.3, abs=0.15)
    assert shift.at_ms == pytest.approx(700 * SECOND_MS, abs=60 * SECOND_MS)


def test_where_nothing_changes_next_to_nothing_is_found():
    alarms = sum(
        latest_shift(answers((number, 0.7), seed=seed), 0.05) is not None
        for seed in range(100)
        for number in (50, 400)
    )
    assert alarms <= 5


def test_nothing_is_looked_for_where_no_false_alarm_is_allowed():
    assert latest_shift(answers((500, 0.9), (500, 0.1)), 0) is None


@pytest.mark.parametrize(
    "pieces",
    [[], answers((1, 1.0)), answers((40, 1.0)), answers((40, 0.0))],
    ids=["nothing", "one", "all good", "all bad"],
)
def test_too_little_or_too_even_evidence_is_no_change(pieces):
    assert latest_shift(pieces, 0.05) is None


def test_weak_evidence_takes_longer_to_show_a_change():
    strong = [Piece(n, n + 1, counts_of(float(n < 40), 1.0)) for n in range(60)]
    weak = [Piece(n, n + 1, counts_of(float(n < 40), 0.2)) for n in range(60)]
    assert latest_shift(strong, 0.05) is not None
    assert latest_shift(weak, 0.05) is None


def test_the_bound_grows_with_evidence_and_with_caution():
    assert bound(100, 0.05) < bound(1_000, 0.05) < bound(1_000, 0.001)


def test_what_came_before_and_after_is_told():
    pieces = [Piece(n, n + 1, counts_of(float(n < 50), 1.0)) for n in range(100)]
    shift = latest_shift(pieces, 0.05)
    assert shift == (50, Counts(50_000_000, 0), Counts(0, 50_000_000))
    assert shift.fall == 1.0
