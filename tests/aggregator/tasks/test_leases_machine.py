"""Sidecars on one budget: whatever is repeated, overtaken, lost or late, the books hold."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remora.testing.clock import ManualClock
from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit, minus, plus
from remora_aggregator.tasks.leases import (
    NS_PER_S,
    AccountKey,
    Ask,
    Grant,
    LeaseKey,
    LeaseSettings,
    Request,
    answered,
)
from remora_aggregator.tasks.memory_store import MemoryTaskStore

ACCOUNT = AccountKey("team-a", "b", "task", "t")
LIMIT = Limit(1_000, 100)
WHOLE = Amount(1_000, 100)
SAFETY_S = 10.0
SENDERS = st.integers(0, 1)
AMOUNTS = st.sampled_from([0, 1, 30, 60, 100]).map(lambda part: Amount(10 * part, part))


@dataclass
class Sidecar:
    """An honest sender: it spends no more than its ceiling, and nothing once its lease ends."""

    name: str
    lease_id: str
    spent: Amount = NOTHING
    ceiling: Amount = NOTHING
    ends_s: float = 0.0
    number: int = 0
    waits_for: Request | None = None
    asked_s: float = 0.0

    def room(self, now_s):
        return minus(self.ceiling, self.spent) if now_s < self.ends_s else NOTHING

    def ask(self, wanted, needed, now_s):
        """Say what is spent and wanted, and use no more than that from now on."""
        self.number += 1
        promised = plus(self.spent, wanted)
        self.ceiling = Amount(*map(min, self.ceiling, promised))
        ask = Ask(self.lease_id, ACCOUNT, LIMIT, self.spent, wanted, needed)
        self.waits_for, self.asked_s = Request(self.name, [ask], self.number), now_s
        return self.waits_for

    def take(self, grant: Grant):
        self.ceiling = plus(self.waits_for.asks[0].spent, grant.granted)
        self.ends_s = self.asked_s + grant.expires_after_s - SAFETY_S
        self.waits_for = None


@dataclass
class Network:
    """Requests that may arrive, again and in any order, and answers that may."""

    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[Request, Grant]] = field(default_factory=list)


class SharedBudget(RuleBasedStateMachine):
    """Some sidecars, an aggregator that restarts, and a network that loses what it likes."""

    @initialize(per_mille=st.sampled_from([0, 20, 1_000]))
    def all_start(self, per_mille):
        self.settings = LeaseSettings(size_per_mille=per_mille)
        self.clock = ManualClock()
        self.store = MemoryTaskStore(self.clock)
        self.sidecars = [Sidecar(f"pod-{number}", "lease-0") for number in range(2)]
        self.lives = 0
        self.network = Network()
        self.spent = {}
        self.unreported_at_end = {}
        self.overspent = NOTHING

    @rule(sender=SENDERS, amount=AMOUNTS)
    def a_call_is_paid_from_the_lease(self, sender, amount):
        sidecar = self.sidecars[sender]
        self._spend(sidecar, Amount(*map(min, amount, sidecar.room(self.clock.monotonic_s()))))

    @rule(sender=SENDERS, amount=st.builds(Amount, st.integers(0, 50), st.integers(0, 5)))
    def a_call_costs_more_than_was_reserved(self, sender, amount):
        self._spend(self.sidecars[sender], amount)
        self.overspent = plus(self.overspent, amount)

    def _spend(self, sidecar, amount):
        sidecar.spent = plus(sidecar.spent, amount)
        self.spent[sidecar.name, sidecar.lease_id] = sidecar.spent

    @rule(sender=SENDERS, wanted=AMOUNTS, needed=AMOUNTS)
    def an_ask_is_sent(self, sender, wanted, needed):
        now_s = self.clock.monotonic_s()
        self.network.requests.append(self.sidecars[sender].ask(wanted, needed, now_s))

    @rule(sender=SENDERS)
    def a_lease_is_returned(self, sender):
        self.an_ask_is_sent(sender, NOTHING, NOTHING)

    @rule(sender=SENDERS, wanted=AMOUNTS)
    def an_ask_is_answered_at_once(self, sender, wanted):
        self.an_ask_is_sent(sender, wanted, wanted)
        self.sidecars[sender].take(self._served(self.network.requests.pop()))

    @precondition(lambda self: self.network.requests)
    @rule(data=st.data(), again=st.booleans())
    def a_request_arrives(self, data, again):
        place = data.draw(st.integers(0, len(self.network.requests) - 1))
        request = self.network.requests[place] if again else self.network.requests.pop(place)
        self.network.answers.append((request, self._served(request)))

    def _served(self, request):
        def decide(books, now_unix_ns):
            return answered(books, request, now_unix_ns, self.settings)

        [grant] = asyncio.run(self.store.change_books(request.wanted, decide))
        return grant

    @precondition(lambda self: self.network.answers)
    @rule(data=st.data())
    def an_answer_arrives(self, data):
        place = data.draw(st.integers(0, len(self.network.answers) - 1))
        request, grant = self.network.answers.pop(place)
        for sidecar in self.sidecars:
            if sidecar.waits_for is request:
                sidecar.take(grant)

    @rule(sender=SENDERS)
    def a_sidecar_dies_and_another_takes_its_place(self, sender):
        self.lives += 1
        name = self.sidecars[sender].name
        self.sidecars[sender] = Sidecar(name, f"lease-{self.lives}")

    @rule(seconds=st.sampled_from([1.0, 9.0, 30.0, 61.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        for key, lease in self._leases().items():
            if lease.ends_unix_ns <= self.clock.now_unix_ns():
                late = minus(self.spent.get(key, NOTHING), lease.spent)
                self.unreported_at_end.setdefault((key, lease.ends_unix_ns), late)

    def _leases(self):
        book = self.store.books.get(ACCOUNT)
        return {} if book is None else {tuple(key): lease for key, lease in book.leases.items()}

    @invariant()
    def the_account_is_the_sum_of_its_leases(self):
        if (book := self.store.books.get(ACCOUNT)) is None:
            return
        for part in (0, 1):
            assert book.granted[part] == sum(one.granted[part] for one in book.leases.values())
            assert book.spent[part] == sum(one.spent[part] for one in book.leases.values())

    @invariant()
    def nothing_that_arrived_is_lost_and_nothing_is_charged_twice(self):
        for key, lease in self._leases().items():
            spent = self.spent.get(key, NOTHING)
            assert lease.spent[0] <= spent[0]
            assert lease.spent[1] <= spent[1]
            assert min(lease.granted) >= 0

    @invariant()
    def what_is_spent_and_granted_is_within_the_limit(self):
        """But for what calls cost beyond what was reserved, and what was reported late."""
        if (book := self.store.books.get(ACCOUNT)) is None:
            return
        allowed = self._allowed()
        together = plus(book.spent, book.granted)
        assert together[0] <= allowed[0]
        assert together[1] <= allowed[1]

    @invariant()
    def what_all_sidecars_really_spent_and_may_spend_is_within_the_limit(self):
        now_s = self.clock.monotonic_s()
        really = NOTHING
        for amount in self.spent.values():
            really = plus(really, amount)
        for sidecar in self.sidecars:
            really = plus(really, sidecar.room(now_s))
        allowed = self._allowed()
        assert really[0] <= allowed[0]
        assert really[1] <= allowed[1]

    def _allowed(self):
        allowed = plus(WHOLE, self.overspent)
        for late in self.unreported_at_end.values():
            allowed = plus(allowed, late)
        return allowed


TestSharedBudget = SharedBudget.TestCase
TestSharedBudget.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)


def test_an_overtaken_ask_would_break_the_books_without_its_number():
    """Why requests are numbered: the machine above finds this, if they are not."""
    clock, store = ManualClock(), MemoryTaskStore(ManualClock())
    sidecar, other = Sidecar("one", "a"), Sidecar("other", "b")
    small = sidecar.ask(Amount(100, 0), NOTHING, clock.monotonic_s())
    large = sidecar.ask(Amount(900, 0), Amount(900, 0), clock.monotonic_s())
    wants = other.ask(Amount(900, 0), Amount(900, 0), clock.monotonic_s())

    def spendable(unnumbered):
        books, granted = {}, {}
        for request in (large, small, wants):
            sent = Request(request.sender, request.asks, 0 if unnumbered else request.number)
            changed, [grant] = answered(books, sent, clock.now_unix_ns(), LeaseSettings())
            books |= changed
            granted.setdefault(request.sender, grant.granted.picousd)
        return sum(granted.values())

    assert spendable(unnumbered=False) <= 1_000
    assert spendable(unnumbered=True) > 1_000
    assert store.books == {}


def test_a_lost_sidecars_lease_comes_back_within_its_time():
    store, clock = {}, ManualClock()
    lost = Sidecar("lost", "a").ask(WHOLE, WHOLE, 0.0)
    store, _ = answered(store, lost, clock.now_unix_ns(), LeaseSettings(lease_s=60.0))
    clock.advance(60.0)
    ask = Sidecar("other", "b").ask(WHOLE, WHOLE, 0.0)
    changed, [grant] = answered(store, ask, clock.now_unix_ns(), LeaseSettings())

    assert grant.granted == WHOLE
    assert changed[ACCOUNT].leases[LeaseKey("lost", "a")].granted == NOTHING
    assert grant.expires_after_s * NS_PER_S == 60 * NS_PER_S
