"""Budgets in budgets: verdicts by table, and sums under random reserving and settling."""

from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remora.workflows.budget import Budget
from remora_sidecar.workflows.amounts import Bill, Load, add_usd, sum_usd
from remora_sidecar.workflows.envelope import Envelope, Reservation, Verdict, strictest


def budget(**said: object) -> Budget:
    return Budget.model_validate(said)


def load(cost: str | None = "0.1", tokens: int = 100, latency_ms: int = 0) -> Load:
    return Load(None if cost is None else Decimal(cost), tokens, latency_ms)


CASES = [
    ("fits", {"max_cost_usd": "0.1"}, load("0.1"), Verdict.GO),
    ("block", {"max_cost_usd": "0.1"}, load("0.11"), Verdict.BLOCK),
    ("stop is block", {"max_cost_usd": "0.1", "on_exceed": "stop"}, load("0.11"), Verdict.BLOCK),
    (
        "downgrade",
        {"max_cost_usd": "0.1", "on_exceed": "downgrade"},
        load("0.2"),
        Verdict.DOWNGRADE,
    ),
    ("warn", {"max_cost_usd": "0.1", "on_exceed": "warn"}, load("0.2"), Verdict.WARN),
    ("unknown price", {"max_cost_usd": "9"}, load(None), Verdict.BLOCK),
    ("unknown price, no limit of cost", {"max_tokens": 100}, load(None), Verdict.GO),
    ("nothing is free of zero", {"max_cost_usd": "0"}, load("0"), Verdict.GO),
    ("tokens", {"max_tokens": 99}, load(), Verdict.BLOCK),
    ("tokens fit", {"max_tokens": 100}, load(), Verdict.GO),
    ("time is over", {"max_latency_ms": 50}, load(), Verdict.BLOCK),
    ("time is not over", {"max_latency_ms": 51}, load(latency_ms=10_000), Verdict.GO),
    (
        "too slow by assumption",
        {"max_latency_ms": 1000, "on_exceed": "downgrade"},
        load(latency_ms=951),
        Verdict.DOWNGRADE,
    ),
    (
        "fast enough by assumption",
        {"max_latency_ms": 1000, "on_exceed": "downgrade"},
        load(latency_ms=950),
        Verdict.GO,
    ),
    ("late", {"max_latency_ms": 50, "on_exceed": "downgrade"}, load(), Verdict.BLOCK),
    ("late with a warning", {"max_latency_ms": 50, "on_exceed": "warn"}, load(), Verdict.WARN),
]


@pytest.mark.parametrize(
    ("said", "asked", "verdict"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_call_is_judged_by_its_budget(said, asked, verdict):
    envelope = Envelope("workflow", budget(**said), began_ms=1_000)
    assert strictest(envelope.overruns(asked, now_ms=1_050)) is verdict


def test_an_overrun_says_which_limit_and_by_how_much():
    envelope = Envelope("workflow", budget(max_cost_usd="0.1", on_exceed="warn"))
    envelope.charge(Decimal("0.05"), 0)
    (overrun,) = envelope.overruns(load("0.0700000000001"), 0)
    assert overrun.over_by == Decimal("0.0200000000001")
    assert str(overrun) == "max_cost_usd 0.1 of the workflow would be passed by 0.0200000000001"
    assert overrun.facts()["would_be"] == "0.1200000000001"


def test_an_unknown_price_is_said_to_be_unknown():
    envelope = Envelope("step a", budget(max_cost_usd="0.1"))
    (overrun,) = envelope.overruns(load(None), 0)
    assert overrun.over_by is None
    assert "price of the model is unknown" in str(overrun)


def test_every_envelope_around_is_asked_and_the_strictest_wins():
    task = Envelope("task", budget(max_cost_usd="0.05"))
    run = Envelope("workflow", budget(max_tokens=10, on_exceed="warn"), parent=task)
    step = Envelope("step a", budget(max_cost_usd="0.01", on_exceed="downgrade"), parent=run)
    found = step.overruns(load(), 0)
    assert [o.scope for o in found] == ["step a", "workflow", "task"]
    assert strictest(found) is Verdict.BLOCK
    task.budget = None
    assert strictest(step.overruns(load(), 0)) is Verdict.DOWNGRADE


def test_a_call_that_fits_once_others_are_settled_waits():
    envelope = Envelope("workflow", budget(max_cost_usd="0.15"))
    first = envelope.reserve(load("0.1"))
    assert strictest(envelope.overruns(load("0.1"), 0)) is Verdict.WAIT
    first.settle(Bill("c", cost_usd=Decimal("0.05")))
    assert strictest(envelope.overruns(load("0.1"), 0)) is Verdict.GO
    assert strictest(envelope.overruns(load("0.11"), 0)) is Verdict.BLOCK


def test_a_bill_that_does_not_say_counts_as_it_was_reserved():
    envelope = Envelope("workflow")
    envelope.reserve(load("0.1", 7)).settle(Bill("c", cost_usd=None, input_tokens=None))
    assert (envelope.spent_usd, envelope.spent_tokens) == (Decimal("0.1"), 7)


def test_a_reservation_ends_once():
    envelope = Envelope("workflow")
    reservation = envelope.reserve(load("0.1"))
    reservation.release()
    reservation.settle(Bill("c", cost_usd=Decimal(1)))
    assert (envelope.spent_usd, envelope.reserved_usd, envelope.reserved_tokens) == (0, 0, 0)


def test_money_is_added_to_the_last_digit():
    small, large = Decimal("1e-40"), Decimal("1234567890123456789012345")
    assert small + large == large  # the usual context rounds it away
    assert add_usd(add_usd(small, large), -large) == small


amounts = st.decimals(min_value=0, max_value=1, places=9)


class EnvelopeMachine(RuleBasedStateMachine):
    """Calls of three steps, within a workflow, within a task, in any order."""

    @initialize(
        limits=st.tuples(amounts, amounts, amounts),
        tokens=st.integers(1, 3_000),
        policy=st.sampled_from(["block", "downgrade"]),
    )
    def begin(self, limits: tuple[Decimal, Decimal, Decimal], tokens: int, policy: str) -> None:
        self.task = Envelope("task", budget(max_cost_usd=limits[0], on_exceed=policy))
        self.run = Envelope("workflow", budget(max_tokens=tokens), parent=self.task)
        said = budget(max_cost_usd=limits[1], on_exceed=policy)
        self.steps = [Envelope(f"step {n}", said, parent=self.run) for n in range(3)]
        self.open: list[tuple[Envelope, Reservation]] = []
        self.bills: list[tuple[Envelope, Load, Decimal, int]] = []

    @rule(step=st.integers(0, 2), cost=amounts, tokens=st.integers(0, 1_000))
    def reserve(self, step: int, cost: Decimal, tokens: int) -> None:
        asked = Load(cost, tokens)
        if strictest(self.steps[step].overruns(asked, 0)) is Verdict.GO:
            self.open.append((self.steps[step], self.steps[step].reserve(asked)))

    @precondition(lambda self: self.open)
    @rule(
        place=st.integers(0, 99), cost=st.none() | amounts, tokens=st.none() | st.integers(0, 1_500)
    )
    def settle(self, place: int, cost: Decimal | None, tokens: int | None) -> None:
        step, reservation = self.open.pop(place % len(self.open))
        reservation.settle(Bill("c", cost_usd=cost, input_tokens=tokens))
        spent = reservation.load.cost_usd if cost is None else cost
        used = reservation.load.tokens if tokens is None else tokens
        self.bills.append((step, reservation.load, spent, used))

    @precondition(lambda self: self.open)
    @rule(place=st.integers(0, 99))
    def release(self, place: int) -> None:
        self.open.pop(place % len(self.open))[1].release()

    @invariant()
    def sums_are_exact(self) -> None:
        if not hasattr(self, "task"):
            return
        for envelope in (self.task, self.run, *self.steps):
            bills = [b for b in self.bills if envelope in b[0].chain()]
            loads = [r.load for s, r in self.open if envelope in s.chain()]
            assert envelope.spent_usd == sum_usd(b[2] for b in bills)
            assert envelope.spent_tokens == sum(b[3] for b in bills)
            assert envelope.reserved_usd == sum_usd(r.cost_usd for r in loads)
            assert envelope.reserved_tokens == sum(r.tokens for r in loads)

    @invariant()
    def overspending_is_bounded_by_what_calls_took_beyond_their_estimates(self) -> None:
        if not hasattr(self, "task"):
            return
        for envelope in (self.task, self.run, *self.steps):
            bills = [b for b in self.bills if envelope in b[0].chain()]
            limit = envelope.budget.max_cost_usd
            if limit is not None:
                excess = sum_usd(max(b[2] - b[1].cost_usd, Decimal(0)) for b in bills)
                assert envelope.spent_usd + envelope.reserved_usd <= limit + excess
            if envelope.budget.max_tokens is not None:
                over = sum(max(b[3] - b[1].tokens, 0) for b in bills)
                total = envelope.spent_tokens + envelope.reserved_tokens
                assert total <= envelope.budget.max_tokens + over


EnvelopeMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None
)
TestEnvelopeMachine = EnvelopeMachine.TestCase
