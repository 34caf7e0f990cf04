"""A run carried out by hand: no model, no clock, and every command held against the rules."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from remora.workflows import given_workflow
from remora.workflows.choosing import ModelPrice
from remora.workflows.model import TIERS
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.commands import Abandon, Ask, Command, Finish, Save, Tell, Wait
from remora_sidecar.workflows.envelope import Envelope
from remora_sidecar.workflows.execution import Execution
from remora_sidecar.workflows.inputs import Answered, Closed, Failed, Fired, Input
from remora_sidecar.workflows.plan import Plan
from remora_sidecar.workflows.question import ModelWish, Question, Target
from remora_sidecar.workflows.run import Run, restored
from remora_sidecar.workflows.saved import (
    CallIntended,
    CallSettled,
    Entry,
    ItemEnded,
    RunTurned,
    StepEnded,
    entry_of,
    entry_value,
)

PRICES = {"fast": (1, 2), "balanced": (5, 10), "high": (20, 50)}


def price(tier: str) -> ModelPrice:
    return ModelPrice(*map(Decimal, PRICES[tier]))


def models(tier: str) -> list[Target]:
    """Four models of a tier, all at one price."""
    return [Target("acme", f"{tier}-{n}", tier, price(tier)) for n in range(4)]


def shelf(wish: ModelWish) -> Sequence[Target]:
    """Models by tier; a name is always known, downgraded wishes get every lower tier."""
    if wish.role.model is not None:
        return [Target(wish.role.provider or "acme", wish.role.model, "high", price("high"))]
    if not wish.downgraded:
        return models(wish.role.tier)
    lower = TIERS[: TIERS.index(wish.role.tier)] or TIERS[:1]
    return [target for tier in reversed(lower) for target in models(tier)]


def workflow(*steps: dict[str, Any], **fields: Any) -> Any:
    asked = [s if "messages" in s or "prompt" in s else {"prompt": "Go on.", **s} for s in steps]
    return given_workflow({"name": "test", "steps": asked, **fields})


def plan_of(*steps: dict[str, Any], given: Any = None, **fields: Any) -> Plan:
    known = {name: fields.pop(name) for name in ("choose", "task", "run_budget") if name in fields}
    compiled = workflow(*steps, **fields)
    budget = known.get("run_budget")
    choose = known.get("choose", shelf)
    return Plan(compiled, given, choose, budget, known.get("task"))


class Played:
    """Carries out the commands of a run as a ring would.

    Attributes:
        plan: What the run goes by.
        saved: What would outlive a crash, read back from plain values.
        open: Calls in flight; abandoned ones too, until they are closed.
        abandoned: Those of them that were abandoned.
        waits: When each wait fires.
        events: What was told.
        billed: All bills that were given.
        execution: What the run came to.
    """

    def __init__(self, plan: Plan) -> None:
        """Prepare a run."""
        self.plan = plan
        self.now_ms = 1_000
        self.saved: list[Entry] = []
        self.asked: dict[str, Question] = {}
        self.billed: list[Bill] = []
        self._fresh()
        self.run = Run(plan, self.now_ms)

    def _fresh(self) -> None:
        self.open: dict[str, Question] = {}
        self.abandoned: set[str] = set()
        self.waits: dict[str, int] = {}
        self.events: list[dict[str, Any]] = []
        self.execution: Execution | None = None

    def begin(self, stop_after: int | None = None) -> None:
        self.do(self.run.begin(self.now_ms), stop_after)

    def tell(self, said: Input, stop_after: int | None = None) -> None:
        """Give an input and do what follows; a crash may come after so many commands."""
        self.do(self.run.handle(said, self.now_ms), stop_after)

    def do(self, commands: list[Command], stop_after: int | None = None) -> None:
        assert all(not isinstance(command, Save) for command in commands[1:])
        for command in commands[:stop_after]:
            self._do(command)

    def _do(self, command: Command) -> None:
        assert self.execution is None, "nothing follows the end"
        match command:
            case Save(entries):
                self._check_entries(entries)
                self.saved += [entry_of(entry_value(entry)) for entry in entries]
            case Ask(key, question):
                self._check_ask(key, question)
                self.open[key] = self.asked[key] = question
            case Abandon(key):
                assert (key in self.open and key not in self.abandoned) or key in self.waits
                if key in self.open:
                    self.abandoned.add(key)
                self.waits.pop(key, None)
            case Wait(key, delay_ms):
                assert key not in self.waits
                assert delay_ms >= 0
                self.waits[key] = self.now_ms + delay_ms
            case Tell(event):
                self.events.append(event.value())
            case Finish(execution):
                assert not self.open, "a call has neither an end nor was abandoned"
                assert not self.waits, "a wait is left"
                self.execution = execution

    def _check_entries(self, entries: Sequence[Entry]) -> None:
        over = [e.step_id for e in [*self.saved, *entries] if isinstance(e, StepEnded)]
        assert len(over) == len(set(over)), "a step ended twice"
        items = [(e.step_id, e.item) for e in [*self.saved, *entries] if isinstance(e, ItemEnded)]
        assert len(items) == len(set(items)), "an item ended twice"

    def _check_ask(self, key: str, question: Question) -> None:
        assert key not in self.asked, "a key is used twice"
        intents = [
            n for n, e in enumerate(self.saved) if isinstance(e, CallIntended) and e.key == key
        ]
        assert len(intents) == 1, "a call is asked that was not saved"
        before = self.saved[: intents[0]]
        ended = {e.step_id for e in before if isinstance(e, StepEnded)}
        assert question.step_id not in ended, "a step that is over is asked again"
        items = {(e.step_id, e.item) for e in before if isinstance(e, ItemEnded)}
        assert (question.step_id, question.item) not in items, "an item is asked again"
        turns = [e.turn for e in before if isinstance(e, RunTurned)]
        assert not {"cancelled", "failed", "budget_exceeded"}.intersection(turns)
        steering = [turn for turn in turns if turn in ("paused", "resumed")]
        assert not steering or steering[-1] == "resumed", "asked while paused"

    def bill(self, key: str, cost: str | None = "0.001", tokens: int | None = 10) -> Bill:
        target = self.open[key].target
        number = len(self.billed)
        usd = None if cost is None else Decimal(cost)
        bill = Bill(f"call{number}", target.provider, target.model, usd, tokens, 0, 5)
        self.billed.append(bill)
        return bill

    def answer(self, key: str, text: str = "fine", cost: str | None = "0.001") -> None:
        if key in self.abandoned:
            self.close(key, cost)
            return
        bill = self.bill(key, cost)
        del self.open[key]
        self.tell(Answered(key, text, bill))

    def fail(self, key: str, code: str = "provider_error", **said: Any) -> None:
        bill = self.bill(key) if said.pop("is_billed", False) else None
        del self.open[key]
        self.tell(Failed(key, code, "it broke", bill, **said))

    def close(self, key: str, cost: str | None = "0.0005") -> None:
        bill = None if cost is None else self.bill(key, cost)
        del self.open[key]
        self.abandoned.discard(key)
        self.tell(Closed(key, bill))

    def fire(self, key: str) -> None:
        self.now_ms = max(self.now_ms, self.waits.pop(key))
        self.tell(Fired(key))

    def crash(self) -> None:
        """Lose everything but what was saved, and go on from that."""
        self._fresh()
        self.plan = replace(self.plan, task=self._task())
        self.run = restored(self.plan, self.saved, self.now_ms)

    def _task(self) -> Envelope | None:
        """The task's envelope as another process would have it: what was billed is spent."""
        if self.plan.task is None:
            return None
        task = Envelope("task", self.plan.task.budget)
        task.charge(self.settled_usd, 0)
        return task

    def key(self, ending: str) -> str:
        """The call in flight whose key ends so."""
        found = [k for k in self.open if k.endswith(ending) and k not in self.abandoned]
        assert len(found) == 1, f"{ending}: {list(self.open)}"
        return found[0]

    def of(self, step_id: str) -> list[str]:
        return [k for k, q in self.open.items() if q.step_id == step_id and k not in self.abandoned]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def play(self, say: Callable[[Question], str] = lambda question: "fine") -> Execution:
        """Answer and fire until the run is over."""
        for _ in range(10_000):
            if self.execution is not None:
                return self.execution
            if self.open:
                key = next(iter(self.open))
                self.answer(key, say(self.open[key]))
            elif not self.waits:
                raise AssertionError(f"the run is stuck: {self.types()}, {self.saved[-8:]}")
            else:
                self.fire(min(self.waits, key=self.waits.__getitem__))
        raise AssertionError("the run does not end")

    @property
    def settled_usd(self) -> Decimal:
        bills = [e.bill for e in self.saved if isinstance(e, CallSettled) and e.bill is not None]
        return sum((b.cost_usd for b in bills if b.cost_usd is not None), Decimal(0))


def played(*steps: dict[str, Any], **fields: Any) -> Played:
    """Begin a run of steps."""
    found = Played(plan_of(*steps, **fields))
    found.begin()
    return found
