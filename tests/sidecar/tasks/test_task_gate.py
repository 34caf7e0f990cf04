"""Who hears of holds, and what the gate says of one."""

import pytest

from remora_sidecar.engine.task_gate import TaskGate, TaskHold

PAUSED = TaskHold("t-1", "paused", 2, by="ann", reason="audit")


@pytest.fixture
def gate():
    return TaskGate()


@pytest.fixture
def heard(gate):
    """What two listeners hear."""
    lists = [], []
    gate.listeners += [one.append for one in lists]
    return lists


def test_every_listener_hears_what_is_new(gate, heard):
    gate.take(PAUSED)
    gate.take(TaskHold("t-1", "open", 3))

    assert heard == ([PAUSED, TaskHold("t-1", "open", 3)],) * 2


@pytest.mark.parametrize(
    "hold",
    [PAUSED, PAUSED._replace(revision=1), PAUSED._replace(by="", reason="")],
    ids=["the same", "older", "with less words"],
)
def test_nobody_hears_what_says_nothing_new(gate, heard, hold):
    gate.take(PAUSED)
    gate.take(hold)

    assert heard == ([PAUSED], [PAUSED])


def test_what_all_is_said_at_once_is_heard_task_by_task_and_of_those_let_go(gate, heard):
    gate.take(PAUSED)
    other = TaskHold("t-2", "cancelled", 7)
    gate.take_all({"t-2": other})

    assert heard[0] == [PAUSED, other, TaskHold("t-1", "open", 2)]


def test_who_hears_of_a_hold_finds_it_in_force(gate):
    found = []
    gate.listeners.append(lambda hold: found.append(gate.refusal(hold.task_id)))
    gate.take(PAUSED)
    gate.take(TaskHold("t-1", "open", 3))

    assert found[0].code == "TASK_PAUSED"
    assert found[1] is None


def test_a_hold_is_told_as_it_was_said(gate):
    assert gate.hold_of("t-1") is None
    gate.take(PAUSED)
    assert gate.hold_of("t-1") == PAUSED
    assert gate.hold_of("t-2") is None
    gate.take(TaskHold("t-1", "open", 3))
    assert gate.hold_of("t-1") is None
