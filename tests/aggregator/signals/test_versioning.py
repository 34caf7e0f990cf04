"""What becomes of versions: each step by itself, and any steps in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora.learning.scores import GoalScores
from remora_aggregator.signals.ports import Judged, VersionBook
from remora_aggregator.signals.versioning import (
    FIRST,
    MOST_STEPS,
    MOST_VERSIONS,
    activated,
    in_force,
    last_made_ms,
    pinned,
    proposed,
    rolled_back,
    version_of,
)

GOALS = {"write": GoalScores("write", ())}
REFUSED = Judged("refused", "it earns less")


def book_of(*numbers):
    """Versions that were all put in force, one after the other."""
    book = VersionBook()
    for number in numbers:
        book = proposed(book, GOALS, FIRST, number * 10, activate=True)
    return book


@pytest.mark.parametrize(
    ("said", "activate", "force"),
    [(FIRST, True, 1), (FIRST, False, None), (REFUSED, True, None)],
    ids=["accepted", "not asked for", "refused"],
)
def test_a_version_is_put_in_force_only_if_it_is_accepted_and_that_is_asked_for(
    said, activate, force
):
    book = proposed(VersionBook(), GOALS, said, 10, note="n", activate=activate)
    assert book.history.in_force == force
    assert book.verdicts == {1: said}
    assert (version_of(book, 1).note, last_made_ms(book)) == ("n", 10)


def test_going_back_leaves_out_what_came_between_until_a_version_is_put_in_force():
    book = rolled_back(book_of(1, 2), 25)
    assert (book.history.in_force, book.goes_back, book.since_ms) == (1, True, 25)
    again = activated(book, 1, 30)
    assert (again.history.in_force, again.goes_back, again.since_ms) == (1, False, 30)


def test_to_put_in_force_what_is_in_force_changes_nothing():
    book = book_of(1)
    assert activated(book, 1, 99) is book


def test_what_there_is_not_is_named_with_its_status():
    with pytest.raises(BadRequest, match="no router version 7") as missing:
        activated(book_of(1), 7, 1)
    with pytest.raises(BadRequest, match="before this one") as first:
        rolled_back(book_of(1), 1)
    assert (missing.value.status, first.value.status) == (404, 409)


def test_what_is_pinned_is_what_the_version_in_force_says():
    assert (in_force(VersionBook()), pinned(VersionBook(), "write")) == (None, None)
    assert pinned(book_of(1), "write") == GOALS["write"]
    assert pinned(book_of(1), "other") is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("propose"), st.booleans()),
        st.tuples(st.just("activate"), st.integers(1, 150)),
        st.tuples(st.just("back"), st.none()),
    ),
    max_size=150,
)


@given(steps=STEPS)
def test_versions_stay_bounded_and_nothing_is_forgotten_that_one_can_go_back_to(steps):
    book, made = VersionBook(), 0
    for now_ms, (step, value) in enumerate(steps, 1):
        try:
            if step == "propose":
                book, made = proposed(book, GOALS, FIRST, now_ms, activate=value), made + 1
            elif step == "activate":
                book = activated(book, value, now_ms)
            else:
                book = rolled_back(book, now_ms)
        except BadRequest:
            continue
        history = book.history
        numbers = [version.number for version in history.versions]
        assert numbers == sorted(set(numbers))
        assert not made or numbers[-1] == made
        assert set(history.steps) <= set(numbers)
        assert history.in_force is None or history.in_force in numbers
        assert set(book.verdicts) <= set(numbers)
        assert book.since_ms <= now_ms
        assert len(numbers) <= MOST_VERSIONS + MOST_STEPS + 1 + sum(
            s == "activate" for s, _ in steps
        )
