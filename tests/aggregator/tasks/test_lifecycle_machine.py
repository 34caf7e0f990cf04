"""Anybody asks a task for anything, in any order: what somebody asked for stays."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from remora.errors import BadRequest
from remora.testing.clock import ManualClock
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import Limit
from remora_aggregator.tasks.conclusions import QuietRules, after_call, gone_quiet
from remora_aggregator.tasks.lifecycle import Asking, Terms
from remora_aggregator.tasks.states import Actor, ActorKind, Control, State, has_ended
from remora_aggregator.tasks.task import TaskEntry, TaskKey
from remora_aggregator.tasks.totals import TaskCall

KEY = TaskKey("team-a", "t-1")
PERSON = Actor(ActorKind.CALLER, "ann")
TERMS = st.builds(
    Terms,
    st.none() | st.builds(Limit, st.none() | st.integers(0, 5), st.none() | st.integers(0, 9)),
    st.none() | st.just("title"),
)
HELD = {
    Control.PAUSED: State.PAUSED,
    Control.CANCELLED: State.CANCELLED,
    Control.BUDGET_EXCEEDED: State.BUDGET_EXCEEDED,
}


class AnyLife(RuleBasedStateMachine):
    """One task, and what somebody asked for last."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.clock = ManualClock()
        self.entry = None
        self.asked = None
        self.calls = 0
        self.revision = 0

    def _asking(self):
        return Asking(PERSON, "", self.clock.now_unix_ns())

    def _take(self, ask):
        """Ask; what is refused changes nothing."""
        try:
            task = ask(self._asking())
        except BadRequest:
            return False
        self.entry = TaskEntry(task) if self.entry is None else TaskEntry(task, self.entry.totals)
        return True

    @rule(state=st.sampled_from(State), terms=TERMS)
    def a_caller_creates_it(self, state, terms):
        self._take(lambda asking: lifecycle.created(self.entry, KEY, state, terms, asking))

    @precondition(lambda self: self.entry)
    @rule(state=st.none() | st.sampled_from(State), terms=TERMS)
    def a_caller_updates_it(self, state, terms):
        if self._take(lambda asking: lifecycle.updated(self.entry, state, terms, asking)) and state:
            self.asked = state if has_ended(state) else None

    @precondition(lambda self: self.entry)
    @rule(cut=st.booleans())
    def a_caller_cancels_it(self, cut):
        task = self.entry.task
        if self._take(lambda asking: lifecycle.cancelled(task, asking, cut_streams=cut)):
            self.asked = State.CANCELLED

    @precondition(lambda self: self.entry)
    @rule()
    def a_caller_pauses_it(self):
        if self._take(lambda asking: lifecycle.paused(self.entry.task, asking)):
            self.asked = State.PAUSED

    @precondition(lambda self: self.entry)
    @rule()
    def a_caller_resumes_it(self):
        if self._take(lambda asking: lifecycle.resumed(self.entry, asking)):
            self.asked = None

    @rule(
        refused=st.booleans(),
        exceeded=st.booleans(),
        age_s=st.sampled_from([0, 1, 100]),
        cost=st.integers(0, 3),
    )
    def a_call_is_recorded(self, refused, exceeded, age_s, cost):
        now = self.clock.now_unix_ns()
        ended = now - age_s * 10**9
        blocked = "b" if refused and exceeded else ""
        call = TaskCall("pod", ended - 1, ended, is_refused=refused, exceeded=blocked,
                        cost_picousd=cost)  # fmt: skip
        self.entry = after_call(self.entry, KEY, call, now)
        self.calls += 1

    @precondition(lambda self: self.entry)
    @rule(seconds=st.sampled_from([1, 61, 601]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        rules = QuietRules(pause_after_s=60, complete_after_s=600)
        task = gone_quiet(self.entry, rules, self.clock.now_unix_ns())
        self.entry = TaskEntry(task, self.entry.totals)

    @invariant()
    def what_somebody_asked_for_stays(self):
        if self.asked is not None:
            assert self.entry.task.state is self.asked

    @invariant()
    def calls_are_held_for_what_the_state_says(self):
        if self.entry is None or self.entry.task.control is Control.OPEN:
            return
        task = self.entry.task
        assert task.state is HELD[task.control]
        assert task.by.kind in (ActorKind.CALLER, ActorKind.BUDGET)

    @invariant()
    def nobody_spends_from_a_budget_that_is_used_up(self):
        if self.entry is None or not self.entry.is_over_budget:
            return
        task = self.entry.task
        assert task.control is not Control.OPEN or task.is_over

    @invariant()
    def the_history_leads_to_the_state_and_every_call_is_counted(self):
        if self.entry is None:
            return
        task = self.entry.task
        assert self.entry.totals.calls == self.calls
        assert task.history[-1].after is task.state
        for before, after in zip(task.history, task.history[1:], strict=False):
            assert after.before is before.after
        assert task.revision >= self.revision
        self.revision = task.revision


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
