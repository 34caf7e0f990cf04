"""The ledger against a model of its own: whatever is done in whatever order, the sums hold."""

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from remora.policy.limits import Budget
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger

SECOND_NS = 10**9
WINDOW_S = 60
START_NS = 1_767_225_600 * SECOND_NS

costs = st.integers(0, 40).map(lambda cents: Decimal(cents) / 100)
priced = st.builds(Amount, costs, st.integers(0, 60))
amounts = st.builds(Amount, st.none() | costs, st.integers(0, 60))
keys = st.builds(
    BudgetKeys,
    st.sampled_from(["", "t1", "t2"]),
    st.sampled_from(["s1", "s2"]),
    st.sampled_from(["", "a1"]),
    st.just("pod"),
    st.just("ns"),
)


def budget(per, windowed, limit, on_exceed, strict):
    return Budget.model_validate(
        {
            "name": f"{per}-{'window' if windowed else 'life'}",
            "per": per,
            "maxCostUSD": str(Decimal(limit) / 100),
            "maxTokens": limit,
            "window": f"{WINDOW_S}s" if windowed and per != "call" else None,
            "onExceed": on_exceed,
            "strict": strict,
        }
    )


budgets = st.lists(
    st.builds(
        budget,
        st.sampled_from(["call", "task", "session", "agent", "pod", "namespace"]),
        st.booleans(),
        st.integers(0, 100),
        st.sampled_from(["block", "downgrade", "warn"]),
        st.booleans(),
    ),
    max_size=5,
    unique_by=lambda b: b.name,
)


class Sums:
    """Money and tokens of one account of the model."""

    def __init__(self):  # noqa: D107
        self.spent = [Decimal(0), 0]
        self.held = [Decimal(0), 0]


class LedgerMachine(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize()
    def a_sidecar_starts(self):
        self.now_ns = START_NS
        self.budgets: tuple[Budget, ...] = ()
        self.sums: dict[tuple, Sums] = {}
        self.ledger = Ledger()

    @rule(budgets=budgets)
    def the_policy_changes(self, budgets):
        self.ledger.apply(budgets)
        self.budgets = tuple(budgets)
        kept = {(b.name, b.per, b.window) for b in budgets}
        self.sums = {place: sums for place, sums in self.sums.items() if place[0] in kept}

    @rule(seconds=st.sampled_from([1, 20, WINDOW_S]))
    def time_passes(self, seconds):
        self.now_ns += seconds * SECOND_NS

    def place(self, budget, keys):
        """The model's key of an account; None where the budget does not count the call."""
        by = {
            "task": keys.task_id or None,
            "session": keys.session_id,
            "agent": keys.agent_id or None,
            "pod": keys.pod,
            "namespace": keys.namespace,
        }
        key = by.get(budget.per)
        window = self.now_ns // (WINDOW_S * SECOND_NS) if budget.window else 0
        return None if key is None else ((budget.name, budget.per, budget.window), key, window)

    def expected(self, budget, keys, asked, downgraded):
        sums = self.sums.get(self.place(budget, keys), Sums())
        used = [spent + held for spent, held in zip(sums.spent, sums.held, strict=True)]
        limits = budget.max_cost_usd, budget.max_tokens
        over = any(
            want and had + want > limit
            for had, want, limit in zip(used, asked, limits, strict=True)
        )
        if over:
            return "block" if downgraded and budget.on_exceed == "downgrade" else budget.on_exceed
        return "unpriced" if asked.cost_usd is None else "ok"

    @rule(target=calls, keys=keys, asked=amounts, more=amounts, downgraded=st.booleans())
    def a_call_asks(self, keys, asked, more, downgraded):
        unpriced = asked.cost_usd is None or more.cost_usd is None
        cost = None if unpriced else asked.cost_usd + more.cost_usd
        most = Amount(cost, asked.tokens + more.tokens)
        counting = [b for b in self.budgets if b.per == "call" or self.place(b, keys)]
        wanted = [most if b.strict else asked for b in counting]
        results = [
            self.expected(b, keys, want, downgraded)
            for b, want in zip(counting, wanted, strict=True)
        ]
        admission = self.ledger.reserve(keys, asked, self.now_ns, most=most, downgraded=downgraded)

        assert [verdict.result for verdict in admission.verdicts] == results
        refused = "block" in results or "downgrade" in results
        assert (admission.reservation is None) == refused
        assert (admission.blocked_by is not None) == ("block" in results)
        holds = []
        if not refused:
            holds = [
                (self.sums.setdefault(self.place(b, keys), Sums()), want)
                for b, want in zip(counting, wanted, strict=True)
                if b.per != "call"
            ]
        for sums, want in holds:
            sums.held = [sums.held[0] + (want.cost_usd or 0), sums.held[1] + want.tokens]
        return admission.reservation, holds

    def end(self, holds, actual):
        for sums, want in holds:
            sums.held = [sums.held[0] - (want.cost_usd or 0), sums.held[1] - want.tokens]
            sums.spent = [sums.spent[0] + (actual.cost_usd or 0), sums.spent[1] + actual.tokens]

    @rule(target=calls, call=consumes(calls), billed=priced)
    def a_try_failed_and_another_begins(self, call, billed):
        reservation, holds = call
        if reservation is None or not self.ledger.hold_more(reservation, billed):
            return call
        more = []
        for sums, want in holds:
            sums.held = [sums.held[0] + billed.cost_usd, sums.held[1] + billed.tokens]
            cost = (want.cost_usd or 0) + billed.cost_usd
            more.append((sums, Amount(cost, want.tokens + billed.tokens)))
        return reservation, more

    @rule(keys=keys, used=amounts)
    def a_turn_of_a_conversation_ends(self, keys, used):
        self.ledger.charge(keys, used, self.now_ns)
        for budget in self.budgets:
            if budget.per != "call" and (place := self.place(budget, keys)):
                sums = self.sums.setdefault(place, Sums())
                sums.spent = [sums.spent[0] + (used.cost_usd or 0), sums.spent[1] + used.tokens]

    @rule(call=consumes(calls), actual=amounts, again=st.booleans())
    def a_call_is_settled(self, call, actual, again):
        reservation, holds = call
        if reservation is None:
            return
        self.ledger.settle(reservation, actual)
        self.end(holds, actual)
        if again:
            self.ledger.settle(reservation, actual)
            self.ledger.refund(reservation)

    @rule(call=consumes(calls))
    def a_call_is_refunded(self, call):
        reservation, holds = call
        if reservation is not None:
            self.ledger.refund(reservation)
            self.end(holds, Amount(None, 0))

    @rule(call=consumes(calls), share=st.integers(0, 4))
    def a_call_costs_no_more_than_it_held(self, call, share):
        reservation, holds = call
        if reservation is None or not holds:
            return
        least = min(want.cost_usd or Decimal(0) for _, want in holds)
        tokens = min(want.tokens for _, want in holds)
        actual = Amount(least * share / 4, tokens * share // 4)
        self.ledger.settle(reservation, actual)
        self.end(holds, actual)

    @invariant()
    def the_sums_are_those_of_the_model(self):
        for book, budget in zip(self.ledger.books, self.budgets, strict=True):
            for account in book.accounts.all():
                place = (budget.name, budget.per, budget.window), account.key, account.window
                sums = self.sums.get(place, Sums())
                spent_picousd, spent_tokens, used_picousd, used_tokens = account.held
                assert Decimal(spent_picousd) / 10**12 == sums.spent[0]
                assert Decimal(used_picousd) / 10**12 == sums.spent[0] + sums.held[0]
                assert spent_tokens == sums.spent[1]
                assert used_tokens == sums.spent[1] + sums.held[1]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


class Overspend(RuleBasedStateMachine):
    """One budget that blocks: it is overspent by what calls cost beyond what they held."""

    calls = Bundle("calls")

    @initialize()
    def a_sidecar_starts(self):
        self.ledger = Ledger([budget("pod", False, 100, "block", False)])
        self.spent = Decimal(0)
        self.beyond = Decimal(0)

    @rule(target=calls, asked=priced)
    def a_call_asks(self, asked):
        keys = BudgetKeys("", "s", "", "pod", "ns")
        admission = self.ledger.reserve(keys, asked, START_NS)
        if admission.reservation is not None and asked.cost_usd:
            [verdict] = admission.verdicts
            used = verdict.spent.cost_usd + verdict.reserved.cost_usd
            assert used + asked.cost_usd <= 1
        return admission.reservation, asked

    @rule(call=consumes(calls), actual=priced)
    def a_call_is_settled(self, call, actual):
        reservation, asked = call
        if reservation is not None:
            self.ledger.settle(reservation, actual)
            self.spent += actual.cost_usd
            self.beyond += max(Decimal(0), actual.cost_usd - asked.cost_usd)

    @invariant()
    def overspend_is_bounded(self):
        assert self.spent <= 1 + self.beyond


TestOverspend = Overspend.TestCase
TestOverspend.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
