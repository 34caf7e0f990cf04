"""Which tasks match, and cursors that nobody can bend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_aggregator.tasks.selection import (
    Place,
    TaskSelection,
    checked_glob,
    cursor_of,
    place_of,
)
from remora_aggregator.tasks.states import CALL, State
from remora_aggregator.tasks.task import TaskEntry, TaskKey, begun, checked_id
from remora_aggregator.tasks.totals import TaskTotals

IDS = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", codec="utf-8"))


def entry(task_id="report-7", *, last_call=0):
    task = begun(TaskKey("team-a", task_id), State.RUNNING, CALL, "", 100)
    return TaskEntry(task, TaskTotals(last_call_unix_ns=last_call))


@pytest.mark.parametrize(
    ("selection", "takes"),
    [
        (TaskSelection(None), True),
        (TaskSelection(frozenset({"team-a", "team-b"})), True),
        (TaskSelection(frozenset({"team-b"})), False),
        (TaskSelection(frozenset()), False),
        (TaskSelection(None, frozenset({State.RUNNING, State.PAUSED})), True),
        (TaskSelection(None, frozenset({State.PAUSED})), False),
        (TaskSelection(None, since_unix_ns=200), True),
        (TaskSelection(None, since_unix_ns=201), False),
    ],
    ids=["all", "namespace", "another", "none", "state", "other state", "since", "before"],
)
def test_a_task_matches_if_all_that_is_given_does(selection, takes):
    assert selection.takes(entry(last_call=200)) is takes


@pytest.mark.parametrize(
    ("glob", "takes"),
    [
        ("report-7", True),
        ("report-*", True),
        ("*", True),
        ("*7", True),
        ("report-?", True),
        ("report-??", False),
        ("eport-7", False),
        ("report-[0-9]", False),
        ("report.7", False),
        ("r*o*-*", True),
    ],
)
def test_globs_know_stars_and_question_marks(glob, takes):
    assert TaskSelection(None, id_glob=glob).takes(entry()) is takes


@given(IDS.filter(bool))
def test_an_id_without_signs_matches_itself(task_id):
    glob = "".join("?" if char in "*?" else char for char in task_id)

    assert TaskSelection(None, id_glob=glob).takes(entry(task_id))


def test_many_stars_are_one():
    assert checked_glob("a" + "*" * 200 + "b") == "a*b"


@given(st.integers(0, (1 << 63) - 1), IDS, IDS)
def test_a_cursor_comes_back_as_it_was_written(created, namespace, task_id):
    place = Place(created, namespace, task_id)

    assert place_of(cursor_of(place)) == place


def test_no_cursor_is_the_beginning():
    assert place_of("") is None


@given(st.text(max_size=60).filter(bool))
def test_any_other_text_is_refused_or_a_cursor(text):
    try:
        place = place_of(text)
    except BadRequest:
        return
    assert cursor_of(place) == text


@pytest.mark.parametrize(
    "task_id",
    ["", "a" * 257, "line\nbreak", "nul\0", "\x7f"],
    ids=["none", "long", "newline", "nul", "delete"],
)
def test_ids_that_no_task_may_have(task_id):
    with pytest.raises(BadRequest, match="task_id"):
        checked_id(task_id)


@pytest.mark.parametrize("task_id", ["a", "a" * 256, "Zürich 7/β *?", "{}"])
def test_ids_that_a_task_may_have(task_id):
    assert checked_id(task_id) == task_id
