"""Random workflows under random answers, failures, pauses, cancels and crashes, in virtual time."""

from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.sidecar.workflows.played import Played
from tests.sidecar.workflows.random_workflows import plans

from remora.workflows.budget import Budget
from remora_sidecar.workflows.inputs import (
    Answered,
    Cancel,
    Closed,
    Failed,
    Held,
    Input,
    Pause,
    Resume,
)
from remora_sidecar.workflows.plan import Plan
from remora_sidecar.workflows.run import Run
from remora_sidecar.workflows.saved import CallIntended, CallSettled, RunTurned, StepEnded

TEXTS = ["fine", "fine", "other", '{"ok": true}', '{"ok": true}', "{bad", "", '{"best": 2}']
COSTS = ["0.0000001", "0.0003", "0.001", "0.02", None]


class _Twins(Played):
    """A run and another that is told the same; it has to say the same."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._twin: Run | None = Run(plan, self.now_ms) if plan.task is None else None

    def begin(self, stop_after: int | None = None) -> None:
        commands = self.run.begin(self.now_ms)
        if self._twin is not None:
            assert self._twin.begin(self.now_ms) == commands
        self.do(commands, stop_after)

    def tell(self, said: Input, stop_after: int | None = None) -> None:
        commands = self.run.handle(said, self.now_ms)
        if self._twin is not None:
            assert self._twin.handle(said, self.now_ms) == commands
        self.do(commands, stop_after)

    def crash(self) -> None:
        super().crash()
        self._twin = None


class RunMachine(RuleBasedStateMachine):
    """Everything that may happen to a run, at any moment."""

    @initialize(plan=plans())
    def begin(self, plan: Plan) -> None:
        self.world = _Twins(plan)
        self.world.begin()
        self._check()

    def _is_over(self) -> bool:
        return self.world.execution is not None

    def _pick(self, place: int) -> str:
        keys = list(self.world.open)
        return keys[place % len(keys)]

    def _tell(self, said: Input, stop_after: int | None) -> None:
        self.world.tell(said, stop_after)
        if stop_after is not None:
            self.world.crash()
            self.world.begin()
        self._check()

    crashes = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 6))
    places = st.integers(0, 50)

    @precondition(lambda self: not self._is_over() and self.world.open)
    @rule(place=places, text=st.sampled_from(TEXTS), cost=st.sampled_from(COSTS), crash=crashes)
    def answer(self, place: int, text: str, cost: str | None, crash: int | None) -> None:
        key = self._pick(place)
        bill = self.world.bill(key, cost)
        del self.world.open[key]
        was_abandoned = key in self.world.abandoned
        self.world.abandoned.discard(key)
        closes = was_abandoned and cost is not None
        self._tell(Closed(key, bill) if closes else Answered(key, text, bill), crash)

    @precondition(lambda self: not self._is_over() and self.world.open)
    @rule(
        place=places, billed=st.booleans(), retry=st.booleans(), move=st.booleans(), crash=crashes
    )
    def fail(self, place: int, billed: bool, retry: bool, move: bool, crash: int | None) -> None:
        key = self._pick(place)
        bill = self.world.bill(key) if billed else None
        del self.world.open[key]
        self.world.abandoned.discard(key)
        self._tell(Failed(key, "provider_error", "", bill, retry, move), crash)

    @precondition(lambda self: not self._is_over() and self.world.waits)
    @rule()
    def fire(self) -> None:
        self.world.fire(min(self.world.waits, key=self.world.waits.__getitem__))
        self._check()

    @precondition(lambda self: not self._is_over())
    @rule(ms=st.integers(0, 150))
    def time_passes(self, ms: int) -> None:
        first = min(self.world.waits.values(), default=self.world.now_ms + ms)
        self.world.now_ms = max(self.world.now_ms, min(first, self.world.now_ms + ms))

    @precondition(lambda self: not self._is_over())
    @rule(crash=crashes)
    def pause(self, crash: int | None) -> None:
        self._tell(Pause(), crash)

    @precondition(lambda self: not self._is_over())
    @rule(crash=crashes)
    def resume(self, crash: int | None) -> None:
        self._tell(Resume(), crash)

    @precondition(lambda self: not self._is_over() and self.world.open)
    @rule(place=places)
    def hold(self, place: int) -> None:
        key = self._pick(place)
        del self.world.open[key]
        self.world.abandoned.discard(key)
        self._tell(Held(key), None)

    @precondition(lambda self: not self._is_over())
    @rule(chance=st.integers(0, 9), crash=crashes)
    def cancel(self, chance: int, crash: int | None) -> None:
        if chance == 0:
            self._tell(Cancel(), crash)

    @precondition(lambda self: not self._is_over())
    @rule()
    def crash(self) -> None:
        self.world.crash()
        self.world.begin()
        self._check()

    @precondition(lambda self: self._is_over())
    @rule(said=st.sampled_from([Cancel(), Pause(), Resume(), Closed("1/s0/1/answer")]))
    def nothing_follows(self, said: Input) -> None:
        assert self.world.run.handle(said, self.world.now_ms) == []

    def _check(self) -> None:
        """Hold what is spent and reserved against every limit that is kept."""
        settled = {e.key: e for e in self.world.saved if isinstance(e, CallSettled)}
        cost = Decimal(0)
        excess = Decimal(0)
        for entry in self.world.saved:
            if isinstance(entry, CallIntended):
                estimate = entry.cost_usd or Decimal(0)
                actual = _counted(settled.get(entry.key), estimate)
                cost += actual
                excess += max(actual - estimate, Decimal(0))
        plan = self.world.plan
        for budget in (plan.budget, plan.workflow.workflow.budget):
            if _keeps_cost(budget):
                assert cost <= budget.max_cost_usd + excess

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        if not self._is_over():
            world.tell(Resume())
        world.play(lambda question: '{"ok": true}')
        execution = world.execution
        assert execution is not None
        assert execution.spending.known_usd == world.settled_usd
        known = [step.spending.known_usd for step in execution.steps]
        assert sum(known, Decimal(0)) == world.settled_usd
        assert len(execution.steps) == len(world.plan.workflow.steps)
        assert (execution.status == "completed") == (not _ended_early(world, execution))
        ended = {e.step_id: e.status for e in world.saved if isinstance(e, StepEnded)}
        assert {s.step_id: s.status for s in execution.steps if s.step_id in ended} == ended
        if execution.status == "completed":
            assert len(ended) == len(execution.steps)


def _ended_early(world: Played, execution: Any) -> bool:
    ends = {"cancelled", "failed", "budget_exceeded"}
    turned = [e for e in world.saved if isinstance(e, RunTurned) and e.turn in ends]
    return bool(turned) or execution.failure is not None


def _keeps_cost(budget: Budget | None) -> bool:
    return budget is not None and budget.max_cost_usd is not None and budget.on_exceed != "warn"


def _counted(settled: CallSettled | None, estimate: Decimal) -> Decimal:
    if settled is None:
        return estimate
    if settled.bill is None:
        return Decimal(0)
    return estimate if settled.bill.cost_usd is None else settled.bill.cost_usd


RunMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRunMachine = RunMachine.TestCase
