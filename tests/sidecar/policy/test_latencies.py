"""How fast models answered lately, by a clock that the tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.policy.latencies import FRESH_S, MAX_KEPT, Latencies


def test_what_was_never_measured_is_not_known():
    latencies = Latencies()
    latencies.add("openai", "gpt-4o", 1.0, 0.0)

    assert latencies.expected_s("openai", "o1", 0.0) is None
    assert latencies.expected_s("azure-openai", "gpt-4o", 0.0) is None


def test_the_newest_answer_weighs_a_fifth():
    latencies = Latencies()
    latencies.add("openai", "gpt-4o", 1.0, 0.0)
    latencies.add("openai", "gpt-4o", 2.0, 1.0)

    assert latencies.expected_s("openai", "gpt-4o", 1.0) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("passed_s", "known"),
    [(0.0, True), (FRESH_S, True), (FRESH_S + 1, False)],
    ids=["at once", "just before", "after"],
)
def test_an_estimate_that_nothing_renews_goes_stale(passed_s, known):
    latencies = Latencies()
    latencies.add("openai", "gpt-4o", 1.0, 10.0)

    assert (latencies.expected_s("openai", "gpt-4o", 10.0 + passed_s) is not None) == known


def test_after_a_long_silence_the_mean_begins_anew():
    latencies = Latencies()
    latencies.add("openai", "gpt-4o", 100.0, 0.0)
    latencies.add("openai", "gpt-4o", 1.0, FRESH_S + 1)

    assert latencies.expected_s("openai", "gpt-4o", FRESH_S + 1) == 1.0


def test_every_answer_renews_the_estimate():
    latencies = Latencies()
    for now_s in (0.0, FRESH_S - 1, 2 * FRESH_S - 2):
        latencies.add("openai", "gpt-4o", 1.0, now_s)

    assert latencies.expected_s("openai", "gpt-4o", 3 * FRESH_S - 3) == 1.0


def test_no_more_models_are_kept_than_the_bound_the_longest_unheard_of_go_first():
    latencies = Latencies()
    for number in range(MAX_KEPT):
        latencies.add("openai", f"m{number}", 1.0, 0.0)
    latencies.add("openai", "m0", 1.0, 0.0)
    latencies.add("openai", "new", 1.0, 0.0)

    assert latencies.expected_s("openai", "m0", 0.0) == 1.0
    assert latencies.expected_s("openai", "m1", 0.0) is None


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
def test_the_mean_lies_between_the_fastest_and_the_slowest_answer(seconds):
    latencies = Latencies()
    for now_s, measured_s in enumerate(seconds):
        latencies.add("openai", "gpt-4o", measured_s, float(now_s))

    expected_s = latencies.expected_s("openai", "gpt-4o", float(len(seconds)))
    assert min(seconds) - 1e-6 <= expected_s <= max(seconds) + 1e-6
