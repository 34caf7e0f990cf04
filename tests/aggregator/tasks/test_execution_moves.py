"""What reports of an execution make of the task that is there for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import Limit
from remora_aggregator.tasks.conclusions import after_call
from remora_aggregator.tasks.execution_moves import Told, after_execution
from remora_aggregator.tasks.lifecycle import Asking, Terms
from remora_aggregator.tasks.states import QUIET, Actor, ActorKind, State, has_ended
from remora_aggregator.tasks.task import TaskEntry, TaskKey
from remora_aggregator.tasks.totals import TaskCall

KEY = TaskKey("team-a", "t-1")
PERSON = Actor(ActorKind.CALLER, "ann")
POD = Actor(ActorKind.CALLER, "pod-1")
TOLD = (State.RUNNING, State.COMPLETED, State.FAILED, State.CANCELLED, State.BUDGET_EXCEEDED)
ENDS = TOLD[1:]


def _told(entry, state, now=10):
    task = after_execution(entry, Told(KEY, state, "research"), Asking(POD, "told", now))
    return TaskEntry(task) if entry is None else TaskEntry(task, entry.totals)


def _asked(entry, state, now=5):
    """Have a person ask for a state."""
    asking = Asking(PERSON, "asked", now)
    match state:
        case State.PAUSED:
            return TaskEntry(lifecycle.paused(entry.task, asking))
        case State.CANCELLED:
            return TaskEntry(lifecycle.cancelled(entry.task, asking, cut_streams=True))
        case _:
            return TaskEntry(lifecycle.updated(entry, state, Terms(), asking))


STAYS = [
    (State.PAUSED, State.RUNNING),
    (State.PAUSED, State.BUDGET_EXCEEDED),
    *((end, told) for end in (State.CANCELLED, State.COMPLETED, State.FAILED) for told in TOLD),
]


@pytest.mark.parametrize(("asked", "told"), STAYS, ids=[f"{a.value} {b.value}" for a, b in STAYS])
def test_what_a_person_asked_for_stays(asked, told):
    entry = _asked(_told(None, State.RUNNING), asked)
    assert _told(entry, told).task == entry.task


@pytest.mark.parametrize("told", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_paused_task_is_over_once_its_execution_is(told):
    entry = _asked(_told(None, State.RUNNING), State.PAUSED)
    assert _told(entry, told).task.state is told


def test_a_task_that_its_first_call_made_known_is_taken_on():
    call = TaskCall(pod_uid="pod-1", started_unix_ns=1, ended_unix_ns=2)
    entry = _told(after_call(None, KEY, call, 3), State.RUNNING)
    assert (entry.task.state, entry.task.title) == (State.RUNNING, "research")
    assert _told(entry, State.RUNNING, 11) == entry
    done = _told(entry, State.COMPLETED, 12)
    assert after_call(done, KEY, TaskCall("pod-1", 20, 21), 22).task == done.task


def test_a_title_that_somebody_gave_stays():
    entry = _told(None, State.RUNNING)
    named = lifecycle.updated(entry, None, Terms(title="mine"), Asking(PERSON, "", 6))
    assert _told(TaskEntry(named), State.COMPLETED).task.title == "mine"


def test_a_task_that_was_quiet_runs_again_while_its_execution_goes_on():
    quiet = _told(None, State.RUNNING).task.moved(State.PAUSED, QUIET, "nothing happened", 7)
    assert _told(TaskEntry(quiet), State.RUNNING).task.state is State.RUNNING


def test_what_a_budget_ended_a_later_call_begins_again():
    entry = _told(None, State.BUDGET_EXCEEDED, 10)
    late = after_call(entry, KEY, TaskCall("pod-1", 9, 11), 12)
    assert late.task.state is State.BUDGET_EXCEEDED
    assert after_call(late, KEY, TaskCall("pod-1", 11, 12), 13).task.state is State.RUNNING


def test_a_task_that_is_stopped_by_its_own_budget_stays_so_until_its_execution_ends():
    entry = _told(None, State.RUNNING)
    entry = TaskEntry(lifecycle.updated(entry, None, Terms(Limit(0, None)), Asking(PERSON, "", 6)))
    assert entry.task.state is State.BUDGET_EXCEEDED
    assert _told(entry, State.RUNNING).task == entry.task
    assert _told(entry, State.BUDGET_EXCEEDED).task == entry.task
    assert _told(entry, State.FAILED).task.state is State.FAILED


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(State)), max_size=12))
def test_whatever_is_told_no_end_that_was_asked_for_is_undone(steps):
    entry, ended = _told(None, State.RUNNING, 0), None
    for now, (is_report, state) in enumerate(steps, 1):
        if is_report:
            entry = _told(entry, state if state in TOLD else State.RUNNING, now)
        else:
            try:
                entry = _asked(entry, state, now)
            except BadRequest:
                continue
        if ended is None and has_ended(entry.task.state):
            ended = entry.task.state
        assert ended is None or entry.task.state is ended
