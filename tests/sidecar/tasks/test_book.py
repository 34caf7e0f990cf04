"""The book of tasks in memory: what it hears, how much it remembers, what it never does."""

import pytest
from tests.sidecar.tasks.recorded import call, cost_of, refused_call

from remora.clock import SystemClock
from remora.errors import BadRequest
from remora.records import Body
from remora_sidecar.engine.task_gate import TaskGate, TaskHold
from remora_sidecar.tasks.book import TaskBook
from remora_sidecar.tasks.call_log import CallLog


@pytest.fixture
def gate():
    return TaskGate()


@pytest.fixture
def make(gate):
    """Give what makes a book that goes by the gate."""

    def book(**how):
        made = TaskBook(gate, SystemClock(), "local", **how)
        gate.listeners.append(made.hear)
        return made

    return book


async def status(book, task_id="t-1"):
    return (await book.get(task_id)).task.state.name.lower()


async def test_a_call_of_no_task_is_nobodys(make):
    book = make()
    book.take(call(task_id=""))

    assert (await book.list()).tasks == []


async def test_a_task_whose_first_call_was_refused_is_pending(make):
    book = make()
    book.take(refused_call())

    assert await status(book) == "pending"


@pytest.mark.parametrize(
    ("control", "expected"),
    [("paused", "paused"), ("cancelled", "cancelled"), ("budget_exceeded", "budget_exceeded")],
)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
async def test_what_others_have_the_gate_hold_is_heard(make, gate, control, expected, is_known):
    book = make()
    if is_known:
        book.take(call())
    gate.take(TaskHold("t-1", control, 1 << 62, reason="theirs"))
    task = (await book.get("t-1")).task
    gate.take(TaskHold("t-1", "open", (1 << 62) + 1))

    assert (task.state.name.lower(), task.history[-1].reason) == (expected, "theirs")
    assert await status(book) == "running"


async def test_an_old_word_is_not_heard(make, gate):
    book = make()
    await book.pause("t-1")
    book.hear(TaskHold("t-1", "open", 1))

    assert await status(book) == "paused"


async def test_the_oldest_task_that_is_over_is_forgotten_first(make):
    book = make(max_tasks=3)
    for number in (1, 2, 3):
        book.take(call(number, f"t-{number}"))
    book.ended("t-2", "completed")
    book.take(call(4, "t-4"))
    book.take(call(5, "t-5"))

    known = [task.task_id for task in (await book.list()).tasks]
    assert known == ["t-5", "t-4", "t-3"]
    with pytest.raises(BadRequest, match="there is no task 't-2'"):
        await book.get("t-2")


async def test_the_task_that_ended_last_is_not_the_one_that_goes(make):
    book = make(max_tasks=2)
    for number in (1, 2):
        book.take(call(number, f"t-{number}"))
    book.ended("t-2", "completed")

    assert await status(book, "t-2") == "completed"
    assert len((await book.list()).tasks) == 2


@pytest.mark.parametrize("control", ["paused", "cancelled"])
async def test_a_task_that_was_forgotten_stays_held_and_is_known_by_that(make, gate, control):
    book = make(max_tasks=1)
    if control == "paused":
        await book.pause("t-1", "look")
    else:
        await book.cancel("t-1", "look", cut_streams=False)
    book.take(call(2, "t-2"))
    assert [task.task_id for task in (await book.list()).tasks] == ["t-2"]

    assert gate.refusal("t-1") is not None
    assert await status(book) == control
    if control == "paused":
        await book.resume("t-1")
        assert gate.refusal("t-1") is None


async def test_a_task_out_of_budget_that_was_forgotten_is_not_let_go_by_a_refused_call(make, gate):
    book = make(max_tasks=1)
    gate.take(TaskHold("t-1", "budget_exceeded", 5))
    book.take(call(2, "t-2"))
    book.take(refused_call(3, task_id="t-1"))

    assert gate.hold_of("t-1").control == "budget_exceeded"


async def test_receipts_are_bounded_and_sums_are_not(make):
    book = make(log=CallLog(max_records=4, max_of_task=3))
    for number in range(1, 6):
        book.take(call(number, cost=cost_of("0.1")))
    book.take(call(6, "t-2"))
    book.take(call(7, "t-3"))
    first = await book.get("t-1", records=10)

    assert [int(one.call_id, 16) for one in first.records] == [4, 5]
    assert (first.task.totals.calls, str(first.task.totals.cost_usd)) == (5, "0.5")
    assert len((await book.get("t-2", records=10)).records) == 1


async def test_a_revision_after_its_receipt_went_is_counted_in_its_place(make):
    book = make(log=CallLog(max_of_task=1))
    book.take(call(1, cost=None))
    book.take(call(2))
    book.take(call(1, revision=1, cost=cost_of("2")))

    totals = (await book.get("t-1")).task.totals
    assert (totals.calls, str(totals.cost_usd)) == (2, "2.00001")


async def test_a_revision_of_a_call_whose_task_was_forgotten_begins_it_anew(make):
    book = make(max_tasks=1)
    book.take(call(1, "t-1", cost=cost_of("5")))
    book.take(call(2, "t-2"))
    book.take(call(1, "t-1", revision=1, cost=cost_of("3")))

    totals = (await book.get("t-1")).task.totals
    assert (totals.calls, totals.input_tokens, str(totals.cost_usd)) == (1, 10, "3")


async def test_a_revised_call_keeps_its_place_among_receipts(make):
    book = make()
    for number in (1, 2):
        book.take(call(number, cost=None))
    book.take(call(1, revision=1, cost=cost_of("2")))
    first = await book.get("t-1", records=1)
    second = await book.get("t-1", records=1, cursor=first.next_cursor)

    assert [one.revision for one in (*first.records, *second.records)] == [1, 0]
    assert second.next_cursor == ""


async def test_no_body_is_kept(make):
    book = make()
    book.take(call(request_body=Body(b"what a user wrote", 17)))
    (record,) = (await book.get("t-1", records=1)).records

    assert record.request_body is None


@pytest.mark.parametrize("cursor", ["x", "-1", "\u0661", "9" * 30, "1.5"])
async def test_a_cursor_of_somebody_else_is_refused(make, cursor):
    book = make()
    book.take(call())

    for asked in (book.list(cursor=cursor), book.get("t-1", records=1, cursor=cursor)):
        with pytest.raises(BadRequest, match="cursor"):
            await asked


async def test_runs_say_how_their_tasks_went(make, gate):
    book = make()
    book.began("t-1", "research")
    task = (await book.get("t-1")).task
    book.ended("t-1", "cancelled")

    assert (task.state.name.lower(), task.title) == ("running", "research")
    assert await status(book) == "cancelled"
    assert gate.refusal("t-1").code == "TASK_CANCELLED"
