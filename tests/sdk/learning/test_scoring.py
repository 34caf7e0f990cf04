from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Arm, Beta, LearningSettings, Series, prior_of, score
from remora.learning.beta import wilson
from remora.learning.counts import Counts, counts_of
from remora.learning.settings import DAY_MS
from remora.learning.spending import Spending

ARM = Arm("openai", "gpt-4o-mini")
SETTINGS = LearningSettings()
ONE_CENT = Decimal("0.01")


def series_of(good: int, bad: int, at_ms: int = 0) -> Series:
    """Give answers, a minute apart, good and bad ones mixed evenly."""
    series, whole = Series(), good + bad
    for number in range(whole):
        is_good = (number + 1) * good // whole > number * good // whole
        series.add(at_ms + number * 60_000, counts_of(float(is_good), 1.0))
    return series


def test_answers_are_counted_onto_ignorance():
    found = score(ARM, series_of(8, 2), SETTINGS, DAY_MS)
    assert found.posterior == Beta(9, 3)
    assert found.samples == 10
    assert not found.is_stale
    assert found.shift is None


def test_nothing_known_is_ignorance():
    found = score(ARM, Series(), SETTINGS, DAY_MS)
    assert (found.posterior, found.samples, found.is_stale) == (Beta(1, 1), 0, False)


def test_evidence_from_before_a_change_does_not_stand():
    series = series_of(300, 0)
    series.merge(series_of(0, 60, at_ms=300 * 60_000))
    found = score(ARM, series, SETTINGS, 360 * 60_000)
    assert found.shift is not None
    assert found.samples == pytest.approx(60, abs=10)
    assert found.posterior.mean < 0.2
    assert score(ARM, series, LearningSettings(false_alarm=0), DAY_MS).posterior.mean > 0.8


def test_old_evidence_fades_by_its_half_life():
    settings = LearningSettings(half_life_ms=DAY_MS)
    series = series_of(1, 0)
    fresh = score(ARM, series, settings, 0).posterior
    day_old = score(ARM, series, settings, DAY_MS).posterior
    assert fresh == Beta(2, 1)
    assert day_old.good == pytest.approx(1.5, abs=0.05)


def test_an_arm_nothing_was_heard_of_counts_as_little_known():
    found = score(ARM, series_of(800, 200), SETTINGS, 9 * DAY_MS)
    assert found.is_stale
    assert found.posterior.weight == SETTINGS.min_samples
    assert found.posterior.mean == pytest.approx(0.8, abs=0.01)


def test_cost_and_latency_are_told():
    spending = Spending()
    for cents, latency_ms in ((1, 100), (3, 100), (None, 900)):
        spending.add(None if cents is None else cents * ONE_CENT, latency_ms)
    found = score(ARM, Series(), SETTINGS, 0, spending=spending)
    assert found.cost_usd == pytest.approx(0.02)
    assert found.latency_ms == pytest.approx(100, rel=0.05)


def at(level_good: int, level_bad: int, own: Series) -> Series:
    """Give a level's evidence: that of others and, in it, the arm's own."""
    level = series_of(level_good, level_bad)
    level.merge(own)
    return level


def test_what_others_know_is_believed_until_there_is_own_evidence():
    own = Series()
    prior = prior_of([at(900, 100, own)], own, SETTINGS, DAY_MS)
    assert prior == pytest.approx((1 + 9, 1 + 1))  # ten answers, nine of them good


def test_own_evidence_is_not_counted_twice():
    own = series_of(0, 40)
    assert prior_of([own], own, SETTINGS, DAY_MS) == Beta(1, 1)
    assert prior_of([at(50, 50, own)], own, SETTINGS, DAY_MS) == prior_of(
        [at(50, 50, Series())], Series(), SETTINGS, DAY_MS
    )


def test_the_nearer_level_adds_to_the_wider_one():
    own = Series()
    namespace = at(0, 100, own)
    cluster = at(100, 0, namespace)
    both = prior_of([cluster, namespace], own, SETTINGS, DAY_MS)
    assert both == Beta(11, 11)


def test_a_level_that_lacks_own_evidence_is_not_believed():
    own = series_of(40, 0)
    assert prior_of([series_of(10, 0)], own, SETTINGS, DAY_MS) == Beta(1, 1)


def test_who_may_not_learn_from_other_namespaces_knows_nothing_of_them():
    own = Series()
    assert prior_of([], own, SETTINGS, DAY_MS) == Beta(1, 1)


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilsons_interval_holds_the_share_and_narrows(good, bad):
    counts = Counts(good * 1_000_000, bad * 1_000_000)
    low, high = wilson(counts)
    share = 0.5 if counts.rate is None else counts.rate
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    four_times = wilson(counts.scaled(4))
    assert four_times[1] - four_times[0] <= high - low + 1e-9


def test_five_of_five_is_no_proof_of_being_better_than_eighty_of_a_hundred():
    five = wilson(Counts(5_000_000, 0))
    eighty = wilson(Counts(80_000_000, 20_000_000))
    assert eighty == pytest.approx((0.711, 0.867), abs=0.001)
    assert five[0] < eighty[0]
