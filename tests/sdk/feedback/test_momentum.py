"""Where conversations go, told from how messages relate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.feedback.classifier import Label
from remora.feedback.momentum import Delta, Momentum, delta, momentum, sketch

HAPPY, UNHAPPY, CHANGED = Label.ACCEPTED.value, Label.REJECTED.value, Label.CORRECTED.value
WORDS = st.lists(st.from_regex(r"[b-df-hj-np-tv-z]{3,6}", fullmatch=True), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([], Momentum.FLAT),
        ([Delta(0.9, 1.0, HAPPY)], Momentum.FLAT),
        ([Delta(0.6, 1.0, "")] * 2, Momentum.CLOSING),
        ([Delta(0.6, 1.2, "")] * 2, Momentum.FLAT),
        ([Delta(0.1, 0.5, HAPPY)] * 2, Momentum.CLOSING),
        ([Delta(0.1, 1.5, HAPPY)] * 2, Momentum.FLAT),
        ([Delta(0.1, 1.0, "")] * 4, Momentum.FLAT),
        ([Delta(0.9, 1.0, UNHAPPY)] * 2, Momentum.WIDENING),
        ([Delta(0.9, 1.0, CHANGED), Delta(0.9, 1.0, UNHAPPY)], Momentum.WIDENING),
        ([Delta(0.1, 1.0, ""), Delta(0.1, 1.0, UNHAPPY)], Momentum.WIDENING),
        ([Delta(0.6, 2.0, ""), Delta(0.6, 2.0, UNHAPPY)], Momentum.WIDENING),
        ([Delta(0.6, 1.0, ""), Delta(0.6, 1.0, UNHAPPY)], Momentum.FLAT),
        ([Delta(0.1, 1.0, UNHAPPY), Delta(0.1, 1.0, UNHAPPY), Delta(0.1, 0.2, HAPPY)], "flat"),
        ([Delta(0.1, 1.0, UNHAPPY)] * 4 + [Delta(0.8, 1.0, "")] * 4, Momentum.CLOSING),
    ],
)
def test_the_last_messages_say_where_it_goes(deltas, expected):
    assert momentum(deltas) == expected


def test_a_change_of_subject_alone_is_no_complaint():
    """In the reference few words in common are enough to count as going round in circles."""
    assert momentum([Delta(0.0, 1.0, "")] * 4) is Momentum.FLAT


@given(WORDS, WORDS)
def test_sketches_estimate_what_words_have_in_common(one, other):
    found = delta(sketch(" ".join(one), "k"), sketch(" ".join(other), "k"), None).jaccard
    shared = len({*one} & {*other}) / len({*one} | {*other})
    assert found == pytest.approx(shared, abs=0.35)
    assert (found == 1.0) or {*one} != {*other}


def test_sketches_of_different_sessions_can_not_be_compared():
    text = "one two three four five six seven eight"
    assert delta(sketch(text, "k"), sketch(text, "k"), None).jaccard == 1.0
    assert delta(sketch(text, "k"), sketch(text, "other"), None).jaccard < 0.1


def test_a_message_without_words_has_nothing_in_common():
    empty = sketch("", "k")
    assert delta(empty, empty, None) == Delta(0.0, 1.0, "")
    assert delta(empty, sketch("some words", "k"), None).length_ratio == 100.0
