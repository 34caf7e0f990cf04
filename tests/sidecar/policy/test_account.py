"""Accounts that share a tally say what accounts that share nothing would."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from remora.policy.limits import Budget
from remora_sidecar.policy.account import NOTHING, Account, Tally
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger

COUNT = 4
NOW_NS = 1_767_225_600 * 10**9

holdings = st.tuples(st.integers(0, 2**70), st.integers(0, 1000))
numbers = st.integers(0, COUNT - 1)


class TallyMachine(RuleBasedStateMachine):
    """Everything is done to accounts that share tallies, and to others one by one."""

    tallies = Bundle("tallies")
    calls = Bundle("calls")

    @initialize()
    def accounts_begin(self):
        self.sharing = [Account(str(n), 0) for n in range(COUNT)]
        self.alone = [Account(str(n), 0) for n in range(COUNT)]

    @rule(
        target=tallies,
        members=st.lists(numbers, min_size=1, unique=True),
        limits=st.lists(holdings, min_size=COUNT, max_size=COUNT),
    )
    def some_come_together(self, members, limits):
        accounts = tuple(self.sharing[n] for n in members)
        limits = tuple(limits[n] for n in members)
        return Tally(accounts, limits, is_strict=False, is_shared=False), members

    @rule(target=calls, tally=tallies, held=holdings)
    def a_call_reserves(self, tally, held):
        tally, members = tally
        tally.reserve(*held)
        for n in members:
            self.alone[n].reserve(*held)
        return tally, members, held

    @rule(target=calls, call=consumes(calls), more=holdings)
    def a_call_holds_more(self, call, more):
        tally, members, held = call
        tally.hold(*more)
        for n in members:
            self.alone[n].hold(*more)
        return tally, members, (held[0] + more[0], held[1] + more[1])

    @rule(call=consumes(calls), used=holdings)
    def a_call_is_settled(self, call, used):
        tally, members, held = call
        tally.settle(used, held)
        for n in members:
            self.alone[n].settle(used, held)

    @rule(number=numbers, used=holdings)
    def one_is_charged_by_itself(self, number, used):
        self.sharing[number].charge(*used)
        self.alone[number].charge(*used)

    @rule(number=numbers)
    def one_leaves(self, number):
        self.sharing[number].leave()

    @rule(number=numbers)
    def room_was_looked_for(self, number):
        self.sharing[number].is_recent = False
        self.alone[number].is_recent = False

    @rule(tally=tallies)
    def the_room_of_a_tally_is_that_of_its_fullest_accounts(self, tally):
        tally, members = tally
        tally.look()
        if not tally.is_open:
            return
        _, _, used_picousd, used_tokens, own, room_picousd, room_tokens = tally.state
        limits = list(zip(tally.limits, members, strict=True))
        assert room_picousd - used_picousd == min(
            most[0] - self.alone[n].held[2] for most, n in limits
        )
        assert room_tokens - used_tokens == min(
            most[1] - self.alone[n].held[3] for most, n in limits
        )
        assert len(own) == len(members)

    @invariant()
    def they_say_the_same(self):
        for sharing, alone in zip(self.sharing, self.alone, strict=True):
            assert sharing.held == alone.held
            assert sharing.calls == alone.calls
            assert sharing.is_recent == alone.is_recent


TestTallyMachine = TallyMachine.TestCase
TestTallyMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def keys(task="t", session="s"):
    return BudgetKeys(task, session, "a", "pod", "ns")


def budgets(*names, per="session"):
    return [
        Budget.model_validate({"name": name, "per": per, "maxTokens": 1000, "window": "1h"})
        for name in names
    ]


def test_budgets_that_count_alike_share_what_calls_reserve():
    ledger = Ledger([*budgets("a", "b"), *budgets("c", per="pod")])
    page = ledger.page(keys(), NOW_NS)

    assert [tally.accounts for tally in page.tallies] == [page.accounts[:2], page.accounts[2:]]


def test_sessions_share_the_account_of_their_pod_and_no_other():
    ledger = Ledger([*budgets("a"), *budgets("c", per="pod")])
    one, other = (ledger.page(keys(session=name), NOW_NS) for name in "xy")

    assert one.tallies[0] is not other.tallies[0]
    assert one.tallies[1] is other.tallies[1]


def test_a_receipt_shows_the_figures_of_its_decision_whatever_comes_after():
    ledger = Ledger(budgets("a", "b"))
    first = ledger.reserve(keys(), Amount(None, 5), NOW_NS)
    decided = ledger.reserve(keys(), Amount(None, 7), NOW_NS)
    ledger.charge(keys(), Amount(None, 100), NOW_NS)
    ledger.reserve(keys(), Amount(None, 1), NOW_NS)
    ledger.settle(first.reservation, Amount(None, 3))
    ledger.apply(budgets("b"))

    assert [(v.spent_tokens, v.reserved_tokens) for v in decided.verdicts] == [(0, 5), (0, 5)]


def test_a_call_is_settled_on_accounts_that_share_nothing_any_more():
    ledger = Ledger(budgets("a", "b"))
    held = ledger.reserve(keys(), Amount(None, 5), NOW_NS).reservation
    ledger.apply(budgets("b"))
    other = ledger.reserve(keys(), Amount(None, 2), NOW_NS).reservation
    ledger.settle(held, Amount(None, 4))
    ledger.refund(other)

    (account,) = ledger.books[0].accounts.all()
    assert (account.held, account.calls) == ((0, 4, 0, 4), 0)


def test_accounts_of_a_budget_that_is_gone_hold_no_others():
    ledger = Ledger(budgets("a", "b"))
    gone, kept = ledger.page(keys(), NOW_NS).accounts
    ledger.apply(budgets("b"))

    assert gone.tally is None
    assert kept.tally is None
    assert gone.held == NOTHING
