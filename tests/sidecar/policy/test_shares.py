"""Pods that draw on one budget, against the arithmetic of the shipped aggregator's double."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from remora.errors import Unavailable
from remora.policy.limits import Budget
from remora.testing.lease_server import LeaseBooks
from remora_proto.v1 import tasks_pb2 as pb
from remora_sidecar.lease_wire import grants_of, request_of
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.book import Wanted
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger
from remora_sidecar.policy.shares import IDLE_S, SAFETY_S, Shares

NOW = 1_767_225_600 * 10**9
KEYS = BudgetKeys("task", "session", "", "pod", "team-a")


def budget(**fields):
    values = {"name": "b", "per": "task", "maxCostUSD": "1", "maxTokens": 1000}
    return Budget.model_validate(values | {"onUnreachable": "block"} | fields)


def usd(cost, tokens=0):
    return Amount(Decimal(cost), tokens)


class Pod:
    """A ledger and its shares, and the ask that is under way."""

    def __init__(self, name, books, **fields):  # noqa: D107
        self.name = name
        self.books = books
        self.now_s = 1000.0
        ids = itertools.count()
        self.shares = Shares(lambda: f"{name}-{next(ids)}")
        self.ledger = Ledger([budget(**fields)], lease_clock=lambda: self.now_s)

    def need(self, amount):
        page = self.ledger.page(KEYS, NOW)
        wanted = Wanted.of(amount)
        for share, lacking in self.shares.lacking(page, wanted, wanted, self.now_s):
            share.need(lacking, self.now_s)

    def send(self, *, closing=False):
        shares = self.shares.all()
        asks = [share.ask(self.now_s, closing=closing) for share in shares]
        return shares, asks, self.now_s, request_of(asks)

    def serve(self, sent):
        return self.books.answer(sent[3], self.name, self.now_s)

    def take(self, sent, response):
        shares, asks, asked_s, _ = sent
        for share, ask, grant in zip(shares, asks, grants_of(response, asks), strict=True):
            share.take(ask, grant, asked_s)
        self.shares.forget_over()

    def exchange(self, **how):
        sent = self.send(**how)
        self.take(sent, self.serve(sent))

    def reserve(self, amount):
        return self.ledger.reserve(KEYS, amount, NOW)


@pytest.fixture
def books():
    return LeaseBooks()


def test_a_share_is_granted_as_far_as_others_left_some(books):
    one, other = Pod("one", books), Pod("other", books)
    for pod in (one, other):
        pod.need(usd("0.7", 10))
        pod.exchange()

    assert one.reserve(usd("0.7", 10)).reservation is not None
    refused = other.reserve(usd("0.7", 10)).blocked_by
    assert not refused.unreachable
    assert other.reserve(usd("0.29", 10)).reservation is not None


def test_what_all_pods_spent_is_told(books):
    one, other = Pod("one", books), Pod("other", books)
    one.need(usd("0.6", 10))
    one.exchange()
    one.ledger.settle(one.reserve(usd("0.6", 10)).reservation, usd("0.5", 8))
    one.exchange()
    other.need(usd("0.6", 10))
    other.exchange()

    [verdict] = other.reserve(usd("0.6", 10)).verdicts
    assert verdict.result == "block"
    assert verdict.spent == usd("0.5", 8)


def test_what_was_given_back_others_may_have(books):
    one, other = Pod("one", books), Pod("other", books)
    one.need(usd("0.9"))
    one.exchange()
    one.now_s += IDLE_S
    one.exchange()
    assert len(one.shares) == 0

    other.need(usd("0.9"))
    other.exchange()
    assert other.reserve(usd("0.9")).reservation is not None
    assert one.reserve(usd("0.1")).blocked_by.unreachable


def test_a_pod_that_stops_reports_what_it_spent(books):
    one = Pod("one", books)
    one.need(usd("0.9"))
    one.exchange()
    one.ledger.settle(one.reserve(usd("0.3")).reservation, usd("0.3"))
    one.exchange(closing=True)

    [account] = books.accounts.values()
    assert account.spent[0] == Decimal("0.3")
    assert account.granted[0] == 0
    assert len(one.shares) == 0


def test_a_lease_is_used_no_more_ten_seconds_before_its_end(books):
    pod = Pod("one", books)
    pod.need(usd("0.5"))
    pod.exchange()
    pod.now_s += 60 - SAFETY_S - 0.001
    assert pod.reserve(usd("0.1")).reservation is not None

    pod.now_s += 0.001
    assert pod.reserve(usd("0.1")).blocked_by.unreachable


def test_the_end_counts_from_when_it_was_asked_for(books):
    pod = Pod("one", books)
    pod.need(usd("0.5"))
    sent = pod.send()
    pod.now_s += 40
    pod.take(sent, pod.serve(sent))
    pod.now_s += 10

    assert pod.reserve(usd("0.1")).blocked_by.unreachable


def test_a_restarted_pod_reports_what_nobody_was_told(books):
    pod = Pod("one", books)
    pod.need(usd("0.5"))
    pod.exchange()
    pod.ledger.settle(pod.reserve(usd("0.2")).reservation, usd("0.2"))
    pod.exchange()
    pod.ledger.settle(pod.reserve(usd("0.1")).reservation, usd("0.1"))
    restarted = Pod("one again", books)
    restarted.ledger.restore(list(pod.ledger.rows()))
    restarted.need(usd("0.1"))
    restarted.exchange()

    [account] = books.accounts.values()
    assert account.spent[0] == Decimal("0.3")


@pytest.mark.parametrize(
    "grant",
    [
        None,
        pb.LeaseResponse.Grant(lease_id="another"),
        pb.LeaseResponse.Grant(lease_id="one-0", granted=pb.BudgetAmount(cost_usd="much")),
        pb.LeaseResponse.Grant(lease_id="one-0", granted=pb.BudgetAmount(cost_usd="NaN")),
        pb.LeaseResponse.Grant(lease_id="one-0", granted=pb.BudgetAmount(cost_usd="Infinity")),
    ],
    ids=["none", "another", "no number", "nan", "infinite"],
)
def test_an_answer_that_can_not_be_used_is_refused(books, grant):
    pod = Pod("one", books)
    pod.need(usd("0.5"))
    sent = pod.send()

    with pytest.raises(Unavailable):
        pod.take(sent, pb.LeaseResponse(grants=[grant] if grant else []))


class SharedBudget(RuleBasedStateMachine):
    """Pods that spend at most what they reserve never overspend, whatever is lost on the way."""

    calls = Bundle("calls")

    @initialize()
    def pods_start(self):
        self.books = LeaseBooks()
        self.pods = [Pod(name, self.books) for name in ("one", "other")]
        self.under_way = [None, None]
        self.spent = Decimal(0)

    @rule(pod=st.integers(0, 1), cents=st.integers(1, 60))
    def a_call_needs_a_share(self, pod, cents):
        self.pods[pod].need(usd(Decimal(cents) / 100, cents))

    @rule(target=calls, pod=st.integers(0, 1), cents=st.integers(1, 60))
    def a_call_asks(self, pod, cents):
        amount = usd(Decimal(cents) / 100, cents)
        return self.pods[pod], self.pods[pod].reserve(amount).reservation, amount

    @rule(call=consumes(calls), share=st.integers(0, 4))
    def a_call_ends(self, call, share):
        pod, reservation, amount = call
        if reservation is not None:
            actual = usd(amount.cost_usd * share / 4, amount.tokens * share // 4)
            pod.ledger.settle(reservation, actual)
            self.spent += actual.cost_usd

    @rule(pod=st.integers(0, 1), closing=st.booleans())
    def an_ask_is_sent(self, pod, closing):
        if self.under_way[pod] is None:
            self.under_way[pod] = (self.pods[pod].send(closing=closing), None)

    @rule(pod=st.integers(0, 1))
    def an_ask_arrives(self, pod):
        if self.under_way[pod] is not None:
            sent, response = self.under_way[pod]
            self.under_way[pod] = sent, response or self.pods[pod].serve(sent)

    @rule(pod=st.integers(0, 1))
    def an_answer_arrives(self, pod):
        if self.under_way[pod] is not None and self.under_way[pod][1] is not None:
            self.pods[pod].take(*self.under_way[pod])
            self.under_way[pod] = None

    @rule(pod=st.integers(0, 1))
    def the_connection_breaks(self, pod):
        self.under_way[pod] = None

    @invariant()
    def nobody_overspends(self):
        accounts = [book.accounts.all() for pod in self.pods for book in pod.ledger.books]
        used = sum(account.held[2] for found in accounts for account in found)
        assert used <= 10**12
        assert self.spent <= 1
        for account in self.books.accounts.values():
            assert account.spent[0] + account.granted[0] <= 1
            assert account.spent[1] + account.granted[1] <= 1000


TestSharedBudget = SharedBudget.TestCase
TestSharedBudget.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
