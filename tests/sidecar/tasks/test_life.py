"""How a task of the local book changes: tables of states, and what nothing may undo."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.sidecar.tasks.recorded import call, refused_call

from remora.client.task import ActorKind, TaskBudget, TaskControl, TaskState
from remora.errors import BadRequest
from remora.receipt import BudgetReceipt, Receipt
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.tasks import life
from remora_sidecar.tasks.book import TaskBook
from remora_sidecar.tasks.life import Call, Terms
from remora_sidecar.tasks.local_task import LocalTask
from remora_sidecar.tasks.sums import Sums

NOW = 1_000
S = TaskState
GOOD = Call(Sums(calls=1, input_tokens=10), NOW + 1, NOW + 2)
REFUSED = Call(Sums(calls=1, errors=1, refused_calls=1), NOW + 1, NOW + 2)
EXCEEDED = REFUSED._replace(exceeded="per-task")


def task_in(state, kind=ActorKind.CALLER, **more):
    return LocalTask("t-1", 1, state, kind, NOW, NOW, NOW, **more)


CHANGES = {
    "called": lambda task: life.after_call(task, GOOD, NOW + 5),
    "refused": lambda task: life.after_call(task, REFUSED, NOW + 5),
    "out of budget": lambda task: life.after_call(task, EXCEEDED, NOW + 5),
    "pause": lambda task: life.paused(task, NOW + 5, "why"),
    "resume": lambda task: life.resumed(task, NOW + 5, "why"),
    "cancel": lambda task: life.cancelled(task, NOW + 5, "why", cut_streams=True),
    "create": lambda task: life.created(task, Terms(title="x"), NOW + 5),
    "raise": lambda task: life.created(task, Terms(TaskBudget(tokens=100)), NOW + 5),
    "run begins": lambda task: life.run_began(task, "x", NOW + 5),
    "run completes": lambda task: life.run_ended(task, "completed", NOW + 5),
    "run fails": lambda task: life.run_ended(task, "failed", NOW + 5),
    "run is cancelled": lambda task: life.run_ended(task, "cancelled", NOW + 5),
    "run is out of budget": lambda task: life.run_ended(task, "budget_exceeded", NOW + 5),
}
SPENT = {"budget": TaskBudget(tokens=5), "sums": Sums(calls=1, input_tokens=5)}
TASKS = {
    "pending": task_in(S.PENDING),
    "running": task_in(S.RUNNING, ActorKind.CALL),
    "paused": task_in(S.PAUSED),
    "spent": task_in(S.BUDGET_EXCEEDED, ActorKind.BUDGET, **SPENT),
    "blocked": task_in(S.BUDGET_EXCEEDED, ActorKind.CALL),
    "completed": task_in(S.COMPLETED),
    "failed": task_in(S.FAILED),
    "cancelled": task_in(S.CANCELLED, cut_streams=True),
}
# State after each change; "-": it stays; "409": refused; "spent":
# budget_exceeded. In the order of CHANGES.
TABLE = {
    "pending":   "running - spent paused - cancelled - - running completed failed cancelled spent",
    "running":   "- - spent paused - cancelled - - - completed failed cancelled spent",
    "paused":    "- - - - running cancelled - - - completed failed cancelled -",
    "spent":     "- - - paused 409 cancelled - running - completed failed cancelled -",
    "blocked":   "running - - paused - cancelled - - - completed failed cancelled -",
    "completed": "- - - 409 409 409 409 409 - - - - -",
    "failed":    "- - - 409 409 409 409 409 - - - - -",
    "cancelled": "- - - 409 409 - 409 409 - - - - -",
}  # fmt: skip


def test_the_table_has_every_case():
    assert TABLE.keys() == TASKS.keys()
    assert {len(row.split()) for row in TABLE.values()} == {len(CHANGES)}


@pytest.mark.parametrize(
    ("known", "change", "after"),
    [
        (known, change, after)
        for known, row in TABLE.items()
        for change, after in zip(CHANGES, row.split(), strict=True)
    ],
    ids=lambda value: value,
)
def test_every_state_under_every_change(known, change, after):
    before = TASKS[known]
    if after == "409":
        with pytest.raises(BadRequest) as refused:
            CHANGES[change](before)
        assert refused.value.status == 409
        return
    task = CHANGES[change](before)
    words = {"-": before.state.name.lower(), "spent": "budget_exceeded"}
    assert task.state.name.lower() == words.get(after, after)
    if after == "-":
        assert (task.kind, task.control) == (before.kind, before.control)
    else:
        assert task.revision > before.revision
        assert task.changed_unix_ns == NOW + 5


@pytest.mark.parametrize(
    ("known", "control"),
    [
        ("pending", "OPEN"),
        ("running", "OPEN"),
        ("paused", "PAUSED"),
        ("spent", "BUDGET_EXCEEDED"),
        ("blocked", "OPEN"),
        ("completed", "OPEN"),
        ("failed", "OPEN"),
        ("cancelled", "CANCELLED"),
    ],
)
def test_what_becomes_of_calls_by_state(known, control):
    assert TASKS[known].control is TaskControl[control]


@pytest.mark.parametrize("known", ["pending", "running"])
def test_a_resumed_task_goes_on_where_it_was(known):
    before = TASKS[known]
    paused = life.paused(before, NOW + 1, "why")

    assert life.resumed(paused, NOW + 2).state is before.state


def test_a_task_that_was_paused_while_its_budget_is_spent_is_out_of_budget_again():
    paused = life.paused(TASKS["spent"], NOW + 1)

    assert life.resumed(paused, NOW + 2).control is TaskControl.BUDGET_EXCEEDED


def test_a_call_that_began_before_a_budget_blocked_the_task_contradicts_nothing():
    early = GOOD._replace(started_unix_ns=NOW - 1)

    assert life.after_call(TASKS["blocked"], early, NOW + 5).state is S.BUDGET_EXCEEDED


def test_to_cancel_again_may_cut_streams_too():
    first = life.cancelled(TASKS["running"], NOW + 1, "enough", cut_streams=False)
    second = life.cancelled(first, NOW + 2, cut_streams=True)

    assert (first.cut_streams, second.cut_streams) == (False, True)
    assert second.revision > first.revision
    assert second.reason == "enough"
    assert life.cancelled(second, NOW + 3, cut_streams=False) is second


@pytest.mark.parametrize(
    ("budget", "is_over"),
    [
        (TaskBudget(cost_usd=Decimal("0.1")), True),
        (TaskBudget(cost_usd=Decimal("0.100000000000000000001")), False),
        (TaskBudget(tokens=15), True),
        (TaskBudget(tokens=16), False),
        (TaskBudget(Decimal(1), 15), True),
        (None, False),
    ],
    ids=["money", "a little left", "tokens", "a token left", "one of both", "none"],
)
def test_a_budget_is_used_up_once_nothing_is_left(budget, is_over):
    sums = Sums(1, priced_calls=1, input_tokens=10, output_tokens=5, cost_usd=Decimal("0.1"))

    assert task_in(S.RUNNING, budget=budget, sums=sums).is_over_budget is is_over


class Ticking:
    """A clock that never stands still."""

    now = 10**15

    def now_unix_ns(self):
        self.now += 1
        return self.now

    def monotonic_s(self):
        return self.now / 1e9


BLOCKED = Receipt("p", "v", budgets=(BudgetReceipt("b", "task", "block"),),
                  refused_by="BUDGET_EXCEEDED")  # fmt: skip


class Lives(RuleBasedStateMachine):
    """Whatever comes in whatever order: the gate goes by the book, and ends are ends."""

    @initialize()
    def begin(self):
        self.gate, self.clock = TaskGate(), Ticking()
        self.book = TaskBook(self.gate, self.clock, "local")
        self.gate.listeners.append(self.book.hear)
        self.number = 0
        self.over = None
        self.revision = 0

    def tried(self, asked):
        with contextlib.suppress(StopIteration, BadRequest):
            asked.send(None)
            raise AssertionError("the book waits")

    @rule(make=st.sampled_from([call, refused_call]), late=st.booleans())
    def is_called(self, make, late):
        self.number += 1
        self.book.take(make(self.number if late else 10**6 + self.number))

    @rule()
    def is_blocked(self):
        self.number += 1
        self.book.take(refused_call(self.number, receipt=BLOCKED))

    @rule(what=st.sampled_from(["pause", "resume"]))
    def is_steered(self, what):
        self.tried(getattr(self.book, what)("t-1"))

    @rule(cut=st.booleans())
    def is_cancelled(self, cut):
        self.tried(self.book.cancel("t-1", cut_streams=cut))

    @rule(tokens=st.integers(1, 100))
    def is_given_a_budget(self, tokens):
        self.tried(self.book.create("t-1", Terms(TaskBudget(tokens=tokens))))

    @rule(end=st.sampled_from(["completed", "failed", "cancelled", "budget_exceeded"]))
    def runs(self, end):
        self.book.began("t-1", "research")
        self.book.ended("t-1", end)

    @invariant()
    def the_gate_goes_by_the_book(self):
        task = self.book._found("t-1")
        hold = self.gate.hold_of("t-1")
        if task is None:
            assert hold is None
            return
        assert (hold.control if hold else "open") == task.control.name.lower()
        assert hold is None or hold.revision == task.revision

    @invariant()
    def ends_are_ends_and_revisions_grow(self):
        task = self.book._found("t-1")
        if task is None:
            return
        assert task.revision >= self.revision
        assert self.over in (None, task.state)
        self.revision, self.over = task.revision, task.state if task.is_over else None

    @invariant()
    def a_spent_budget_lets_no_call_go(self):
        task = self.book._found("t-1")
        if task is not None and task.is_over_budget and not task.is_over:
            assert task.control in (TaskControl.BUDGET_EXCEEDED, TaskControl.PAUSED)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
