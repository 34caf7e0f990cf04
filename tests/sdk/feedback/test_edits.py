"""How much of an answer was changed, and that it takes no time to tell."""

import difflib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.feedback.edits import (
    changed_share,
    changed_share_of_diff,
    checked_edit,
    is_diff,
    worth_of,
)

ANSWER = "the quick brown fox jumps over the lazy dog and runs away"
TEXTS = st.lists(st.sampled_from(list("abcdef.")), max_size=30).map(" ".join)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ("", "", 0.0),
        (ANSWER, ANSWER, 0.0),
        (ANSWER, "  the quick\nbrown fox jumps over the lazy dog\tand runs away\n", 0.0),
        (ANSWER, "", 1.0),
        ("", ANSWER, 1.0),
        ("one two three four", "five six seven eight", 1.0),
        ("one two three four", "one two three five", 0.25),
        ("one two three four", "one two three", 1 - 6 / 7),
        ("a b c d", "d c b a", 0.75),
    ],
    ids=["nothing", "same", "spaces", "emptied", "filled", "new", "a word", "cut", "turned round"],
)
def test_the_share_is_of_words_in_order(before, after, share):
    assert changed_share(before, after) == pytest.approx(share)


@given(TEXTS, TEXTS)
def test_a_share_is_a_distance(one, other):
    share = changed_share(one, other)
    assert 0 <= share <= 1
    assert share == changed_share(other, one)
    assert (share == 0) == (one.split() == other.split())


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_what_is_common_is_the_longest_common_subsequence(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
            )
    total = len(one) + len(other)
    expected = 1 - 2 * table[-1][-1] / total if total else 0.0
    assert changed_share(" ".join(one), " ".join(other)) == pytest.approx(expected)


@given(TEXTS, TEXTS)
def test_a_diff_with_all_lines_says_the_same_as_the_texts(one, other):
    before, after = one.split(), other.split()
    diff = "\n".join(difflib.unified_diff(before, after, "before", "after", lineterm="", n=1000))
    found = changed_share_of_diff(diff) if diff else 0.0
    assert found == pytest.approx(changed_share(one, other))


def test_what_a_diff_does_not_show_was_left_as_it_is():
    before = [f"word{number}" for number in range(100)]
    after = ["other", *before[1:]]
    diff = "\n".join(difflib.unified_diff(before, after, lineterm="", n=1))
    assert changed_share_of_diff(diff, 100) == pytest.approx(0.01)
    assert changed_share_of_diff(diff) == pytest.approx(0.5)


@given(st.text(max_size=300))
def test_any_text_can_be_read_as_a_diff(text):
    assert 0 <= changed_share_of_diff(text) <= 1


def test_a_text_without_hunks_is_no_diff():
    assert not is_diff("I changed - a lot + more")
    assert worth_of("I changed a lot") is None


def test_an_edit_is_worth_the_less_the_more_was_changed():
    words = ANSWER.split()
    worths = [
        worth_of((ANSWER, " ".join(["x"] * count + words[count:]))) for count in range(len(words))
    ]
    assert worths == sorted(worths, reverse=True)
    assert worths[0] == 0.9
    assert worth_of((ANSWER, "")) == 0.0


@pytest.mark.parametrize("edit", [7, ("a",), ("a", 7), ["a", "b"], b"diff"], ids=repr)
def test_what_is_no_edit_is_an_error_of_the_program(edit):
    with pytest.raises(TypeError, match="edit"):
        checked_edit(edit)


def test_large_texts_are_compared_as_well():
    """What grew with the square of the texts would run into the limit of any test's time."""
    chance = random.Random(7)  # noqa: S311 - no secret
    words = [f"w{number}" for number in range(500)]
    before, after = (" ".join(chance.choices(words, k=150_000)) for _ in range(2))
    assert 0 < changed_share(before, after) < 1
    assert changed_share(before, f"{before} and more") < 0.001
