"""What is said again counts up; what is too much is not told, and counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_operator.webhook.event_series import WINDOW_S, Drop, SeriesBook
from remora_operator.webhook.notices import Notice, Regarding

SECOND = 1_000_000_000


def notice(owner="web", reason="Injected", note="n"):
    return Notice(Regarding("apps/v1", "ReplicaSet", "team", owner, owner), "Normal", reason, note)


def _book(*said, most=1000):
    book = SeriesBook("one", most)
    for now_s, one in said:
        book.note(one, round(now_s * SECOND), now_s)
    return book


def _write_all(book):
    for series in book.due():
        series.written = series.count


def test_what_is_said_again_is_one_event():
    [series] = _book((0, notice()), (1, notice()), (599, notice())).due()
    assert series.count == 3
    assert series.event("one")["series"]["count"] == 3
    assert series.event("one")["series"]["lastObservedTime"] == "1970-01-01T00:09:59.000000Z"


@pytest.mark.parametrize(
    "other",
    [notice(owner="db"), notice(reason="InjectionRefused"), notice(note="another reason")],
    ids=["another owner", "another reason", "other words"],
)
def test_what_differs_is_another_event(other):
    book = _book((0, notice()), (0, other))
    assert [series.count for series in book.due()] == [1, 1]
    assert len({series.name for series in book.due()}) == 2


@pytest.mark.parametrize(("later_s", "count"), [(WINDOW_S, 2), (WINDOW_S + 1, 1)])
def test_after_the_window_it_is_a_new_event(later_s, count):
    book = _book((0, notice()))
    _write_all(book)
    book.note(notice(), 0, later_s)
    [series] = book.due()
    assert series.count == count


def test_what_could_not_be_written_yet_goes_on_counting():
    [series] = _book((0, notice()), (WINDOW_S + 1, notice())).due()
    assert series.count == 2


def test_one_object_has_no_more_notes_of_a_reason_than_people_read():
    book = _book(*((0, notice(note=str(n))) for n in range(8)))
    assert book.note(notice(note="more"), 0, 0) is Drop.FLOOD
    assert book.note(notice(owner="db", note="more"), 0, 0) is None
    _write_all(book)
    assert book.note(notice(note="more"), 0, WINDOW_S + 1) is None


def test_when_it_is_full_what_is_written_makes_room_and_nothing_else():
    book = _book((0, notice("a")), (0, notice("b")), most=2)
    assert book.note(notice("c"), 0, 0) is Drop.FULL
    assert book.note(notice("a"), 0, 0) is None
    _write_all(book)
    assert book.note(notice("c"), 0, 0) is None
    assert len(book) == 2


def test_giving_up_says_how_much_nobody_hears():
    book = _book((0, notice()), (1, notice()), (2, notice()))
    [series] = book.due()
    series.written = 1
    assert book.drop(series) == 2
    assert book.due() == ()


def test_names_are_the_same_for_the_same_and_differ_by_replica():
    names = [
        series.name
        for instance in ("one", "one", "two")
        for book in [SeriesBook(instance)]
        if book.note(notice(), 5, 0) is None
        for series in book.due()
    ]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("web.")


def test_a_long_name_is_cut_to_a_valid_one():
    [series] = _book((0, notice(owner="a" * 235 + ".-" + "b" * 16))).due()
    assert len(series.name) <= 253
    assert ".-" not in series.name
    assert "..." not in series.name


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from("abc"),
            st.sampled_from(["Injected", "InjectionRefused"]),
            st.integers(0, 12),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_every_occurrence_is_told_or_dropped(steps):
    book, now_s, told, dropped = SeriesBook("one", most=6), 0.0, 0, 0
    for passed_s, owner, reason, words, writes in steps:
        now_s += passed_s
        if book.note(notice(owner, reason, str(words)), round(now_s), now_s) is None:
            told += 1
        else:
            dropped += 1
        if writes:
            told -= sum(series.count - series.written for series in book.due())
            _write_all(book)
    assert told == sum(series.count - series.written for series in book.due())
    assert dropped + told <= len(steps)
    assert len(book) <= 6
