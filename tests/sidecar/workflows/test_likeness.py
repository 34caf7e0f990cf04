"""How alike answers are: by table, and what holds for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.workflows.strategy import Agreement
from remora_sidecar.workflows import likeness
from remora_sidecar.workflows.likeness import (
    agree,
    agreement_of,
    same_value,
    text_likeness,
    value_likeness,
    words_of,
)

PARIS = "The capital of France is Paris, which lies on the Seine."

PAIRS = [
    ("the same", PARIS, PARIS, 1.0, 1.0),
    ("case and marks", "Paris!", "paris", 1.0, 1.0),
    ("width", "\uff30\uff41\uff52\uff49\uff53", "Paris", 1.0, 1.0),
    ("one word more", PARIS, PARIS + " Yes.", 0.9, 1.0),
    ("other words", PARIS, "I do not know that.", 0.0, 0.2),
    ("another figure", "It costs 42 dollars in all.", "It costs 43 dollars in all.", 0.0, 0.0),
    ("the same figure", "It costs 42 dollars.", "It will cost 42 dollars.", 0.6, 1.0),
    ("numbers of a list", "1. red\n2. blue", "- red\n- blue", 1.0, 1.0),
    ("order counts", "dog bites man", "man bites dog", 0.0, 0.7),
    ("no spaces", "巴黎是法国的首都", "巴黎是法国首都", 0.9, 1.0),
    ("Thai", "กรุงเทพ", "กรุงเทพ", 1.0, 1.0),
    ("nothing", "", "", 1.0, 1.0),
    ("only marks", "?!", "!?", 0.0, 0.0),
    ("nothing and something", "", "x", 0.0, 0.0),
]


@pytest.mark.parametrize(
    ("one", "other", "least", "most"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS]
)
def test_texts_are_scored(one, other, least, most):
    assert least <= text_likeness(one, other) <= most


def test_long_texts_are_compared_by_runs_of_words(monkeypatch):
    long = " ".join("abcdefghijk"[n % 11] * (n % 7 + 1) for n in range(likeness.MAX_WORDS + 50))
    monkeypatch.setattr(likeness, "Indel", None)  # not asked about texts of this length
    assert text_likeness(long, long) == 1.0
    assert text_likeness(long, long + " end") > 0.99
    assert text_likeness(long, " ".join(reversed(long.split()))) < 0.1


def test_a_script_without_spaces_is_cut_into_characters():
    assert words_of("東京 tower 2,000") == ["東", "京", "tower", "2,000"]


VALUES = [
    ("order of keys", {"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ("whole floats", [1], [1.0], True),
    ("true is not one", [True], [1], False),
    ("null is not absent", {"a": None}, {}, False),
    ("order of lists", [1, 2], [2, 1], False),
    ("texts to the letter", ["a"], ["A"], False),
    ("deep", {"a": [{"b": "c"}]}, {"a": [{"b": "c"}]}, True),
    ("length", [1], [1, 1], False),
    ("kinds", {}, [], False),
]


@pytest.mark.parametrize(
    ("one", "other", "same"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES]
)
def test_values_are_the_same_or_not(one, other, same):
    assert same_value(one, other) is same


def test_values_are_scored_by_their_leaves():
    assert (
        value_likeness({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3, "d": 5}) == 0.75
    )
    assert value_likeness([1, 2], [1]) == 0.5
    assert value_likeness({"a": []}, {"a": []}) == 1.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_scores_do_not_depend_on_who_comes_first(one, other):
    assert value_likeness(one, other) == pytest.approx(value_likeness(other, one))
    assert 0.0 <= value_likeness(one, other) <= 1.0
    assert same_value(one, other) == same_value(other, one)


@given(json_values)
def test_a_value_is_like_itself(value):
    assert value_likeness(value, value) == 1.0
    assert same_value(value, value)


@pytest.mark.parametrize(
    ("agreement", "one", "other", "agrees"),
    [
        (Agreement(kind="equal"), "a  b", "a b ", True),
        (Agreement(kind="equal"), "a b", "A b", False),
        (Agreement(kind="equal"), {"a": 1}, {"a": 1}, True),
        (Agreement(kind="similar"), "a b c d e", "a b c d f", True),
        (Agreement(kind="similar", threshold=0.81), "a b c d e", "a b c d f", False),
        (Agreement(kind="similar", threshold=1.0), "a b", "A, b!", True),
    ],
)
def test_answers_agree_or_not(agreement, one, other, agrees):
    assert agree(agreement, one, other) is agrees


def test_json_is_compared_for_equality_where_nothing_is_said():
    assert agreement_of(None, is_json=True).kind == "equal"
    assert agreement_of(None, is_json=False).kind == "similar"
    assert agreement_of(Agreement(kind="similar"), is_json=True).kind == "similar"
