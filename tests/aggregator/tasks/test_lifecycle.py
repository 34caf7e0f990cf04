"""What callers may ask of tasks, what calls and silence do to them, and what is refused."""

import pytest

from remora.errors import BadRequest
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import NO_LIMIT, Limit
from remora_aggregator.tasks.conclusions import QuietRules, after_call, gone_quiet
from remora_aggregator.tasks.lifecycle import Asking, Terms
from remora_aggregator.tasks.states import CALL, Actor, ActorKind, Control, State
from remora_aggregator.tasks.task import MAX_CHANGES, TaskEntry, TaskKey

KEY = TaskKey("team-a", "t-1")
PERSON = Actor(ActorKind.CALLER, "ann")
PENDING, PLANNING, RUNNING, PAUSED = State.PENDING, State.PLANNING, State.RUNNING, State.PAUSED
COMPLETED, FAILED, CANCELLED = State.COMPLETED, State.FAILED, State.CANCELLED
EXCEEDED = State.BUDGET_EXCEEDED
DOLLAR = 10**12


class Life:
    """One task over time."""

    def __init__(self, clock, make_call):  # noqa: D107
        self.clock = clock
        self.make_call = make_call
        self.entry = None
        self.rules = QuietRules(pause_after_s=60, complete_after_s=600)

    @property
    def task(self):
        return self.entry.task

    @property
    def state(self):
        return self.task.state

    def _asking(self, reason=""):
        self.clock.advance(1.0)
        return Asking(PERSON, reason, self.clock.now_unix_ns())

    def _becomes(self, task):
        self.entry = TaskEntry(task) if self.entry is None else TaskEntry(task, self.entry.totals)

    def create(self, state=PENDING, **terms):
        made = lifecycle.created(self.entry, KEY, state, Terms(**terms), self._asking())
        self._becomes(made)

    def call(self, **fields):
        self.clock.advance(2.0)
        call = self.make_call(**fields)
        self.entry = after_call(self.entry, KEY, call, self.clock.now_unix_ns())

    def update(self, state=None, **terms):
        self._becomes(lifecycle.updated(self.entry, state, Terms(**terms), self._asking()))

    def complete(self):
        self.update(COMPLETED)

    def fail(self):
        self.update(FAILED)

    def plan(self):
        self.update(PLANNING)

    def run(self):
        self.update(RUNNING)

    def cancel(self, *, cut=False):
        self._becomes(lifecycle.cancelled(self.task, self._asking("no"), cut_streams=cut))

    def pause(self):
        self._becomes(lifecycle.paused(self.task, self._asking("wait")))

    def resume(self):
        self._becomes(lifecycle.resumed(self.entry, self._asking()))

    def silence(self, seconds=61.0):
        self.clock.advance(seconds)
        self._becomes(gone_quiet(self.entry, self.rules, self.clock.now_unix_ns()))

    def refused_call(self):
        self.call(is_refused=True)

    def blocked_call(self):
        self.call(is_refused=True, exceeded="per-task")

    def late_call(self):
        self.call(ended_s_ago=3_000.0)

    def own_budget(self):
        self.create(RUNNING, budget=Limit(DOLLAR, None))

    def dear_call(self):
        self.call(cost_picousd=DOLLAR)

    def raised(self):
        self.update(budget=Limit(5 * DOLLAR, None))


@pytest.fixture
def life(clock, make_call):
    return Life(clock, make_call)


LIVES = {
    "a first call": ("call", RUNNING),
    "a first call that was refused": ("refused_call", PENDING),
    "created": ("create", PENDING),
    "created and called": ("create call", RUNNING),
    "called and created": ("call create", RUNNING),
    "planned": ("create plan", PLANNING),
    "calls while planning": ("create plan call call", PLANNING),
    "planned again": ("call plan run plan", PLANNING),
    "completed": ("call complete", COMPLETED),
    "completed twice": ("call complete complete", COMPLETED),
    "failed": ("call fail", FAILED),
    "calls after the end": ("call complete call", COMPLETED),
    "silence": ("call silence", PAUSED),
    "silence while planning": ("call plan silence", PAUSED),
    "silence before any call": ("create silence", PENDING),
    "a call after silence": ("call silence call", RUNNING),
    "a call after silence while planning": ("call plan silence call", PLANNING),
    "a refused call after silence": ("call silence refused_call", PAUSED),
    "an old call after silence": ("call silence late_call", PAUSED),
    "long silence": ("call silence silence", PAUSED),
    "a call after completion by silence": ("call silence long_silence call", RUNNING),
    "completed by silence": ("call silence long_silence", COMPLETED),
    "completed, then silence": ("call complete silence long_silence", COMPLETED),
    "completed while quiet": ("call silence complete", COMPLETED),
    "running again, said a program": ("call silence run", RUNNING),
    "resumed after silence": ("call silence resume", RUNNING),
    "resumed after completion by silence": ("call silence long_silence resume", RUNNING),
    "failed after completion by silence": ("call silence long_silence fail", FAILED),
    "paused": ("call pause", PAUSED),
    "paused before any call": ("create pause", PAUSED),
    "a call while paused": ("call pause call", PAUSED),
    "silence while paused": ("call pause silence long_silence", PAUSED),
    "paused while quiet": ("call silence pause call", PAUSED),
    "paused while quiet, resumed": ("call silence pause resume", RUNNING),
    "resumed": ("call pause resume", RUNNING),
    "resumed before any call": ("create pause resume", PENDING),
    "resumed while running": ("call resume", RUNNING),
    "cancelled": ("call cancel", CANCELLED),
    "cancelled while paused": ("call pause cancel", CANCELLED),
    "cancelled twice": ("call cancel cancel", CANCELLED),
    "a call after cancel": ("call cancel call", CANCELLED),
    "a policy's budget": ("call blocked_call", EXCEEDED),
    "a policy's budget, silence": ("call blocked_call silence", EXCEEDED),
    "a policy's budget, then a small call": ("call blocked_call call", RUNNING),
    "a policy's budget, then a call from before": ("call blocked_call late_call", EXCEEDED),
    "a policy's budget, said to run": ("call blocked_call run", RUNNING),
    "blocked while paused": ("call pause blocked_call", PAUSED),
    "its own budget": ("own_budget dear_call", EXCEEDED),
    "its own budget, calls in flight": ("own_budget dear_call call", EXCEEDED),
    "its own budget, raised": ("own_budget dear_call raised", RUNNING),
    "its own budget, paused": ("own_budget dear_call pause", PAUSED),
    "its own budget, paused and resumed": ("own_budget dear_call pause resume", EXCEEDED),
    "its own budget, paused, raised, resumed": (
        "own_budget dear_call pause raised resume",
        RUNNING,
    ),
    "its own budget, used while paused": ("own_budget pause dear_call", PAUSED),
    "its own budget, a policy's first": ("own_budget blocked_call dear_call", EXCEEDED),
    "its own budget, completed": ("own_budget dear_call complete", COMPLETED),
    "its own budget, used after completion": ("own_budget complete dear_call", COMPLETED),
}


@pytest.mark.parametrize(("steps", "state"), LIVES.values(), ids=LIVES.keys())
def test_lives(life, steps, state):
    for step in steps.split():
        life.silence(601.0) if step == "long_silence" else getattr(life, step)()

    assert life.state is state
    assert life.task.history[-1].after is state


REFUSED = {
    "nothing follows cancel": ("call cancel", "complete", "is cancelled by ann (no)"),
    "cancel does not follow an end": ("call complete", "cancel", "can't become cancelled"),
    "pause does not follow an end": ("call fail", "pause", "can't become paused"),
    "resume does not follow an end": ("call cancel", "resume", "can't be resumed"),
    "an end is no beginning": ("call complete", "create", "use another id"),
    "failed is not completed": ("call fail", "complete", "can't become completed"),
    "a paused one does not run": ("call pause", "run", "resume it first"),
    "a used budget": ("own_budget dear_call", "run", "raise its budget"),
    "resume of a used budget": ("own_budget dear_call", "resume", "once its budget is raised"),
    "a budget for what is over": ("call complete", "raised", "needs no budget any more"),
}


@pytest.mark.parametrize(("steps", "step", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_is_refused_and_changes_nothing(life, steps, step, reason):
    for before in steps.split():
        getattr(life, before)()
    task = life.task

    with pytest.raises(BadRequest) as refused:
        getattr(life, step)()

    assert refused.value.status == 409
    assert reason in str(refused.value)
    assert life.task is task


@pytest.mark.parametrize("state", [PAUSED, COMPLETED, CANCELLED, EXCEEDED])
def test_a_task_does_not_begin_at_its_end(life, state):
    with pytest.raises(BadRequest, match="pending, planning or running"):
        life.create(state)


@pytest.mark.parametrize("state", [PENDING, PAUSED, CANCELLED, EXCEEDED])
def test_an_update_says_only_what_a_task_is_about(life, state):
    life.call()

    with pytest.raises(BadRequest, match="other calls for the rest"):
        life.update(state)


CONTROLS = {
    "running": ("call", Control.OPEN),
    "completed": ("call complete", Control.OPEN),
    "quiet": ("call silence", Control.OPEN),
    "paused": ("call pause", Control.PAUSED),
    "paused while quiet": ("call silence pause", Control.PAUSED),
    "resumed": ("call pause resume", Control.OPEN),
    "cancelled": ("call cancel", Control.CANCELLED),
    "a policy's budget": ("call blocked_call", Control.OPEN),
    "its own budget": ("own_budget dear_call", Control.BUDGET_EXCEEDED),
    "its own budget, raised": ("own_budget dear_call raised", Control.OPEN),
}


@pytest.mark.parametrize(("steps", "control"), CONTROLS.values(), ids=CONTROLS.keys())
def test_only_what_somebody_asked_for_or_its_own_budget_holds_calls(life, steps, control):
    for step in steps.split():
        getattr(life, step)()

    assert life.task.control is control


def test_the_history_says_who_changed_what_when_and_why(life):
    life.call()
    life.pause()
    created, paused = life.task.history

    assert (created.before, created.after, created.by) == (None, RUNNING, CALL)
    assert (paused.before, paused.after, paused.by) == (RUNNING, PAUSED, PERSON)
    assert paused.reason == "wait"
    assert paused.at_unix_ns == life.clock.now_unix_ns() == life.task.changed_unix_ns


def test_the_history_is_bounded_and_says_what_is_missing(life):
    life.call()
    for _ in range(MAX_CHANGES):
        life.pause()
        life.resume()

    assert len(life.task.history) == MAX_CHANGES
    assert life.task.older_changes == 1 + MAX_CHANGES


def test_a_reason_is_cut_where_it_is_too_long(life):
    life.call()
    asking = Asking(PERSON, "w" * 10_000, life.clock.now_unix_ns())

    assert len(lifecycle.paused(life.task, asking).reason) == 500


def test_what_is_the_case_already_changes_nothing(life):
    life.call()
    life.pause()
    task = life.task
    life.pause()
    assert life.task is task

    life.cancel(cut=True)
    task = life.task
    life.cancel()
    assert life.task is task
    assert task.cut_streams


def test_streams_can_be_cut_by_a_second_cancel(life):
    life.call()
    life.cancel()
    revision = life.task.revision
    life.cancel(cut=True)

    assert life.task.cut_streams
    assert life.task.revision > revision


def test_revisions_grow_though_the_clock_goes_back(life):
    life.call()
    revisions = [life.task.revision]
    life.clock.step_wall(-3_600)
    for _ in range(3):
        life.pause()
        revisions.append(life.task.revision)
        life.resume()
        revisions.append(life.task.revision)

    assert revisions == sorted(set(revisions))


def test_terms_can_be_changed_and_taken_away(life):
    life.create(budget=Limit(None, 5), title="report")
    life.update(title="annual report")
    assert (life.task.budget, life.task.title) == (Limit(None, 5), "annual report")

    life.update(budget=NO_LIMIT)
    assert (life.task.budget, life.task.title) == (NO_LIMIT, "annual report")
    assert [change.reason for change in life.task.history] == [
        "",
        "its title was changed",
        "its budget was changed",
    ]


def test_a_budget_of_nothing_lets_no_call_go(life):
    life.create(budget=Limit(0, None))

    assert life.task.control is Control.BUDGET_EXCEEDED


def test_a_budget_and_a_state_may_be_said_at_once(life):
    life.own_budget()
    life.dear_call()
    life.update(PLANNING, budget=Limit(5 * DOLLAR, None))

    assert life.state is PLANNING


def test_a_budget_that_is_lowered_below_what_was_spent_stops_the_task(life):
    life.call(input_tokens=100)
    life.update(budget=Limit(None, 50))

    assert (life.state, life.task.control) == (EXCEEDED, Control.BUDGET_EXCEEDED)


@pytest.mark.parametrize(
    "rules", [QuietRules(None, None), QuietRules(600.0, 1.0)], ids=["never", "later"]
)
def test_rules_say_when_silence_counts(life, rules):
    life.rules = rules
    life.call()
    life.silence(599.0)

    assert life.state is RUNNING
