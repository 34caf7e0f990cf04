"""What `remora top` reckons, by a time that only tests move."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.cli.top_window import QUANTILE_ERROR, ServerClock, Spread, Window
from remora.records import CallError, CallRecord, Cost, EndReason, StoredRecord, Usage

SECOND_NS = 10**9
NOW_NS = 1_790_000_010 * SECOND_NS
"""In the midst of a slot: those of five minutes are five seconds long."""

GOOD = CallRecord(
    call_id=f"{1:032x}",
    started_unix_ns=0,
    status_code=200,
    end_reason=EndReason.COMPLETED,
    usage=Usage(input_tokens=90, output_tokens=10),
    cost=Cost(Decimal("0.01"), Decimal(0), Decimal(0), "", ""),
    latency_s=2.0,
    ttft_s=0.5,
)
BAD = replace(GOOD, status_code=500, error=CallError("x", ""), usage=None, cost=None, ttft_s=None)


def _window(*calls, span_s=300):
    """Calls as (record, how many seconds ago they came)."""
    window = Window(span_s)
    for record, back_s in calls:
        received = NOW_NS - round(back_s * SECOND_NS)
        window.add(StoredRecord(record, "local", "p", received, ""))
    return window


def test_figures_are_of_the_last_minute():
    window = _window((GOOD, 0), (GOOD, 30), (BAD, 59), (GOOD, 100), (GOOD, 400))
    figures = window.figures(NOW_NS)
    assert (figures.calls, figures.errors, figures.tokens) == (3, 1, 200)
    assert figures.span_s == 60.0
    assert figures.calls_per_s == pytest.approx(3 / 60)
    assert figures.usd_per_h == Decimal("0.02") * 60
    assert figures.quantiles_s == pytest.approx((2.0,) * 3, rel=QUANTILE_ERROR)
    assert figures.ttft_quantiles_s[0] == pytest.approx(0.5, rel=QUANTILE_ERROR)


def test_time_that_passes_is_in_the_rate():
    window = _window((GOOD, 0))
    later = NOW_NS + 3 * SECOND_NS
    assert window.figures(later).span_s == 63.0
    assert window.figures(NOW_NS + 300 * SECOND_NS).calls == 0


def test_without_calls_nothing_is_known_of_their_times():
    figures = _window().figures(NOW_NS)
    assert (figures.calls, figures.calls_per_s, figures.usd_per_h) == (0, 0.0, 0)
    assert figures.quantiles_s == figures.ttft_quantiles_s == (None, None, None)


def test_plots_are_of_the_slots_that_are_over():
    window = _window((GOOD, -1), (GOOD, 1), (GOOD, 4.9), (BAD, 6), (GOOD, 299), (GOOD, 301))
    series = window.series(NOW_NS)
    assert len(series.calls_per_s) == 60
    assert series.calls_per_s[-2:] == (0.2, 0.4)
    assert series.errors[-2:] == (1.0, 0.0)
    assert series.tokens_per_s[-2:] == (0.0, 40.0)
    assert series.usd_per_h[-1] == Decimal("0.02") * 720
    assert series.calls_per_s[0] == 0.2
    assert sum(series.calls_per_s) * 5 == pytest.approx(4)
    assert series.starts_unix_ns == NOW_NS - 300 * SECOND_NS
    assert series.latency_s[0][-3] is None
    assert series.latency_s[0][-1] == pytest.approx(2.0, rel=QUANTILE_ERROR)
    assert series.ttft_s[0][-2] is None


def test_what_was_not_read_is_a_gap_and_not_nothing():
    window = _window((GOOD, 1), (GOOD, 22))
    window.nothing_known_before(NOW_NS - 22 * SECOND_NS)
    series = window.series(NOW_NS)
    assert series.calls_per_s[-5:] == (None, 0.0, 0.0, 0.0, 0.2)
    assert window.figures(NOW_NS).span_s == 20.0
    assert window.figures(NOW_NS).calls == 1


def test_what_is_long_ago_is_forgotten():
    window = Window(60)
    for second in range(100_000):
        window.add(StoredRecord(GOOD, "", "", second * SECOND_NS, ""))
    assert len(window._slots) <= 2 * 60
    assert window.figures(99_999 * SECOND_NS).calls == 13


def test_a_window_of_minutes_reaches_back_so_far():
    window = Window(300)
    assert window.reach_back_unix_ns(NOW_NS + 1) == NOW_NS - 300 * SECOND_NS


@pytest.mark.parametrize(
    ("record", "errors", "unpriced", "tokens"),
    [
        (GOOD, 0, 0, 100),
        (BAD, 1, 0, 0),
        (replace(GOOD, cost=None), 0, 1, 100),
        (replace(GOOD, cached=True), 0, 0, 0),
        (replace(GOOD, end_reason=EndReason.REFUSED), 1, 0, 100),
        (replace(GOOD, end_reason=EndReason.CLIENT_GONE), 0, 0, 100),
        (replace(GOOD, usage=Usage()), 0, 0, 0),
        (replace(GOOD, latency_s=0.0, ttft_s=-1.0), 0, 0, 100),
    ],
    ids=["good", "failed", "unpriced", "cached", "refused", "client gone", "nothing stated",
         "no time at all"],
)  # fmt: skip
def test_what_a_call_counts_as(record, errors, unpriced, tokens):
    figures = _window((record, 0)).figures(NOW_NS)
    assert (figures.errors, figures.unpriced_calls, figures.tokens) == (errors, unpriced, tokens)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200))
def test_quantiles_are_within_their_error(values):
    parts = Spread(), Spread()
    for at, value in enumerate(values):
        parts[at % 2].add(value)
    merged = Spread.merged(parts)
    for part in (0.5, 0.9, 0.99):
        true = sorted(values)[math.ceil(part * len(values)) - 1]
        assert merged.quantile(part) == pytest.approx(true, rel=QUANTILE_ERROR * 1.001)


@pytest.mark.parametrize(
    ("seen", "ahead_s"),
    [
        ([], 0),
        ([(-300, False)], 0),
        ([(120, False)], 120),
        ([(-0.5, True)], -0.5),
        ([(-300.2, True), (-300.0, True), (-301, True)], -300),
        ([(-200, False), (-300, True)], -300),
        ([(119, True), (120, True), (-50, True)], 120),
    ],
    ids=["nothing", "the past says nothing", "the future does", "a little late", "the quickest",
         "only what is live", "a burst of old ones"],
)  # fmt: skip
def test_the_aggregators_clock_is_learnt_from_its_records(seen, ahead_s):
    clock = ServerClock()
    for ahead, is_live in seen:
        clock.take(NOW_NS + round(ahead * SECOND_NS), NOW_NS, is_live=is_live)
    assert clock.now_unix_ns(NOW_NS) == NOW_NS + round(ahead_s * SECOND_NS)
