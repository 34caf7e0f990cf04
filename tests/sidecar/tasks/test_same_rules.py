"""The local book and the aggregator conclude the same from the same calls and questions."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sidecar.tasks.recorded import call, cost_of, refused_call

from remora.client.task import TaskBudget, task_from_message
from remora.errors import BadRequest
from remora.receipt import BudgetReceipt, Receipt
from remora.record_wire import to_message
from remora_aggregator.service.task_wire import written
from remora_aggregator.store.facts import is_error
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import Limit, picousd_of
from remora_aggregator.tasks.conclusions import after_call
from remora_aggregator.tasks.lifecycle import Asking
from remora_aggregator.tasks.states import Actor, ActorKind, State
from remora_aggregator.tasks.task import TaskEntry, TaskKey, begun
from remora_aggregator.tasks.totals import TaskCall, task_call
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.tasks.book import TaskBook
from remora_sidecar.tasks.life import Terms

KEY = TaskKey("local", "t-1")
BLOCKED = Receipt(
    "p", "v", budgets=(BudgetReceipt("b", "task", "block"),), refused_by="BUDGET_EXCEEDED"
)
MONEY = st.decimals(min_value=0, max_value=1, places=12)


@dataclass
class Standing:
    """A clock that goes on with each event."""

    now: int = 10**18

    def now_unix_ns(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1e9


@dataclass
class Aggregators:
    """The aggregator's own rules about one task, without a store."""

    clock: Standing
    entry: TaskEntry | None = None
    calls: dict[str, TaskCall] = field(default_factory=dict)

    def take(self, record: Any) -> None:
        message = to_message(record)
        read = task_call(message, "pod", self.clock.now, is_error=is_error(message))
        before = self.calls.get(record.call_id)
        self.calls[record.call_id] = read
        self.entry = after_call(self.entry, KEY, read, self.clock.now, instead_of=before)

    def ask(self, what: str, *how: Any) -> None:
        asking = Asking(Actor(ActorKind.CALLER, "ann"), "why", self.clock.now)
        if what == "create":
            budget = Limit(picousd_of(str(how[0].cost_usd)), how[0].tokens)
            terms = lifecycle.Terms(budget, None)
            task = lifecycle.created(self.entry, KEY, State.PENDING, terms, asking)
        elif self.entry is None and what == "resume":
            raise BadRequest("no such task", status=404)
        else:
            task = self.steered(what, how, asking)
        self.entry = TaskEntry(task) if self.entry is None else TaskEntry(task, self.entry.totals)

    def steered(self, what: str, how: tuple[Any, ...], asking: Asking) -> Any:
        entry = self.entry or TaskEntry(
            begun(KEY, State.PENDING, asking.by, "", asking.now_unix_ns)
        )
        if what == "cancel":
            return lifecycle.cancelled(entry.task, asking, cut_streams=how[0])
        if what == "pause":
            return lifecycle.paused(entry.task, asking)
        return lifecycle.resumed(entry, asking)


async def ask_book(book: TaskBook, what: str, *how: Any) -> None:
    if what == "create":
        await book.create("t-1", Terms(how[0]))
    elif what == "cancel":
        await book.cancel("t-1", "why", cut_streams=how[0])
    else:
        await getattr(book, what)("t-1", "why")


def calls() -> Any:
    number = st.integers(1, 6)
    good = st.builds(lambda n, usd: call(n, cost=cost_of(str(usd))), number, MONEY)
    unpriced = st.builds(lambda n: call(n, cost=None), number)
    blocked = st.builds(lambda n: refused_call(n, receipt=BLOCKED), number)
    return st.tuples(st.just("call"), good | unpriced | blocked | st.builds(refused_call, number))


BUDGETS = st.builds(TaskBudget, MONEY, st.integers(0, 60))
EVENTS = st.lists(
    calls()
    | st.sampled_from([("pause",), ("resume",), ("cancel", True), ("cancel", False)])
    | st.tuples(st.just("create"), BUDGETS),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
async def test_the_book_concludes_what_the_aggregator_concludes(events):
    clock, gate = Standing(), TaskGate()
    book, other = TaskBook(gate, clock, "local"), Aggregators(clock)
    revisions: dict[str, int] = {}
    for event in events:
        clock.now += 10**9
        refusals = []
        if event[0] == "call":
            # The same number again is a revision of the call.
            record = event[1]
            revision = revisions[record.call_id] = revisions.get(record.call_id, -1) + 1
            record = _at(record, clock.now - 10**6 * (1 + revision), revision)
            book.take(record)
            other.take(record)
            continue
        for asked in (ask_book(book, *event), _later(other, event)):
            try:
                await asked
            except BadRequest as error:
                refusals.append(error.status)
        assert len(refusals) in (0, 2)
        assert len(set(refusals)) <= 1
        await _agree(book, gate, other)
    await _agree(book, gate, other)


def _at(record: Any, started_unix_ns: int, revision: int) -> Any:
    return replace(record, started_unix_ns=started_unix_ns, latency_s=0.0, revision=revision)


async def _later(other: Aggregators, event: tuple[Any, ...]) -> None:
    other.ask(*event)


async def _agree(book: TaskBook, gate: TaskGate, other: Aggregators) -> None:
    tasks = (await book.list()).tasks
    if other.entry is None:
        assert tasks == []
        return
    (found,) = tasks
    wanted = task_from_message(written(other.entry))
    assert (found.state, found.control) == (wanted.state, wanted.control)
    assert found.cut_streams == wanted.cut_streams
    assert _plain(found.budget) == _plain(wanted.budget)
    for name in ("calls", "errors", "refused_calls", "cached_calls", "unpriced_calls",
                 "input_tokens", "output_tokens", "cost_usd", "first_call_unix_ns",
                 "last_call_unix_ns"):  # fmt: skip
        assert getattr(found.totals, name) == getattr(wanted.totals, name), name
    hold = gate.hold_of("t-1")
    assert (hold.control if hold else "open") == wanted.control.name.lower()


def _plain(budget: TaskBudget | None) -> tuple[Decimal | None, int | None] | None:
    return None if budget is None else (budget.cost_usd, budget.tokens)
