"""What is known of a run: the sum of its saved entries, the same live and after a restart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from remora.workflows.scope import StepResult
from remora_sidecar.workflows.amounts import NO_MONEY
from remora_sidecar.workflows.execution import CallReport
from remora_sidecar.workflows.saved import (
    CallIntended,
    CallSettled,
    Entry,
    ItemEnded,
    LifeBegan,
    RunTurned,
    StepEnded,
)


@dataclass
class RunState:
    """A run as its entries tell it.

    Attributes:
        life: How often a process took it up.
        is_paused: Whether somebody paused it.
        end: What ended it before its steps were all over; None: nothing did.
        downgraded: Scopes whose budget asks for cheaper models, in the order of their turns.
        warned: Scopes and limits that were warned of.
        steps: Steps that are over.
        results: What conditions and templates see of them.
        items: Items that are over, of steps that may not be.
        open_calls: Calls that may have been made and are not settled.
        calls: Of each step, those that are settled.
    """

    life: int = 0
    is_paused: bool = False
    end: RunTurned | None = None
    downgraded: dict[str, None] = field(default_factory=dict)
    warned: set[tuple[str, str]] = field(default_factory=set)
    steps: dict[str, StepEnded] = field(default_factory=dict)
    results: dict[str, StepResult] = field(default_factory=dict)
    items: dict[str, dict[int, ItemEnded]] = field(default_factory=dict)
    open_calls: dict[str, CallIntended] = field(default_factory=dict)
    calls: dict[str, list[CallReport]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take an entry in."""
        match entry:
            case LifeBegan(number):
                self.life = number
            case CallIntended(key):
                self.open_calls[key] = entry
            case CallSettled():
                self._settle(entry)
            case ItemEnded(step_id, item):
                self.items.setdefault(step_id, {})[item] = entry
            case StepEnded(step_id):
                self.steps[step_id] = entry
                self.results[step_id] = StepResult(entry.status, entry.output)
            case RunTurned():
                self._turn(entry)

    def _settle(self, settled: CallSettled) -> None:
        intent = self.open_calls.pop(settled.key, None)
        if intent is not None:
            report = _report(intent, settled)
            self.calls.setdefault(intent.step_id, []).append(report)

    def _turn(self, turned: RunTurned) -> None:
        match turned.turn:
            case "paused":
                self.is_paused = True
            case "resumed":
                self.is_paused = False
            case "downgraded":
                self.downgraded[turned.scope] = None
            case "warned":
                self.warned.add((turned.scope, turned.limit))
            case "cancelled" | "failed" | "budget_exceeded":
                self.end = self.end or turned

    def reports(self, step_id: str) -> tuple[CallReport, ...]:
        """Return a step's calls that are settled, and those that are lost."""
        lost = [
            _report(intent, None)
            for intent in self.open_calls.values()
            if intent.step_id == step_id and life_of(intent.key) < self.life
        ]
        return (*self.calls.get(step_id, ()), *lost)

    def spent(self) -> Iterator[tuple[str, Decimal, int]]:
        """Give of each call so far its step, and what counts against budgets.

        What a bill does not say counts as it was reserved; so does a call that is lost.
        """
        for intent in self.open_calls.values():
            yield intent.step_id, intent.cost_usd or NO_MONEY, intent.tokens
        for step_id, reports in self.calls.items():
            for report in reports:
                if report.bill is not None:
                    yield step_id, *report.counted(report.bill)


def state_of(entries: Iterable[Entry]) -> RunState:
    """Read a run from its entries, in the order in which they were saved."""
    state = RunState()
    for entry in entries:
        state.add(entry)
    return state


def life_of(key: str) -> int:
    """Return in which life of a run a call was made."""
    return int(key.partition("/")[0])


def _report(intent: CallIntended, settled: CallSettled | None) -> CallReport:
    return CallReport(
        key=intent.key,
        purpose=intent.purpose,
        item=intent.item,
        status="lost" if settled is None else settled.code,
        provider=intent.provider,
        model=intent.model,
        bill=None if settled is None else settled.bill,
        reserved_usd=intent.cost_usd or NO_MONEY,
        reserved_tokens=intent.tokens,
    )
