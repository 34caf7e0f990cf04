"""What has to outlive the process that runs a workflow, as plain values.

A run is the list of its entries. `restoring` makes a run of them again.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from remora.workflows.scope import StepStatus
from remora_sidecar.workflows.amounts import Bill, usd_text

BUDGET_EXCEEDED: Final = "budget_exceeded"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed.

    Attributes:
        code: For programs.
        message: For people; quotes no prompt or answer.
    """

    code: str
    message: str = ""

    def facts(self) -> dict[str, str]:
        """Write it as events and results carry it."""
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class LifeBegan:
    """A process took the run up.

    Attributes:
        number: From 1, one more after each restart; keys of calls begin with it.
    """

    number: int


@dataclass(frozen=True, slots=True)
class CallIntended:
    """A call may be made from now on.

    Attributes:
        key: Of the `Ask`.
        step_id: Which step asks.
        item: Place of the item; None without ``map``.
        purpose: What for.
        provider: Who is asked.
        model: Which one.
        cost_usd: What is reserved; None: unknown.
        tokens: What is reserved.
    """

    key: str
    step_id: str
    item: int | None
    purpose: str
    provider: str
    model: str
    cost_usd: Decimal | None
    tokens: int


@dataclass(frozen=True, slots=True)
class CallSettled:
    """A call is over.

    Attributes:
        key: Of the `Ask`.
        bill: What it took; None: it was never made.
        code: ``ok``, ``abandoned`` or the kind of failure.
    """

    key: str
    bill: Bill | None
    code: str = "ok"


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """One item of a mapped step is over.

    Attributes:
        step_id: Which step.
        item: Which item.
        status: ``completed``, ``failed`` (it is left out) or ``defaulted``.
        output: Its answer.
        failure: Why it failed.
    """

    step_id: str
    item: int
    status: StepStatus
    output: Any = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step is over; it is never asked again.

    Attributes:
        step_id: Which step.
        status: How it ended.
        output: Its answer.
        latency_ms: From its begin.
        provider: Whose answer it is; empty: nobody's, or of several.
        model: Whose answer it is.
        note: How it came about, where there is something to say.
        failure: Why it failed, or what it was skipped for.
    """

    step_id: str
    status: StepStatus
    output: Any = None
    latency_ms: int = 0
    provider: str = ""
    model: str = ""
    note: str = ""
    failure: Failure | None = None


Turn = Literal[
    "paused", "resumed", "cancelled", "failed", "budget_exceeded", "downgraded", "warned"
]


@dataclass(frozen=True, slots=True)
class RunTurned:
    """The run took a turn that a restart does not undo.

    Attributes:
        turn: Which one.
        scope: ``downgraded``, ``warned``: whose budget.
        failure: ``cancelled``, ``failed``, ``budget_exceeded``: why.
        step_id: ``failed``: of which step.
        limit: ``warned``: which one.
    """

    turn: Turn
    scope: str = ""
    failure: Failure | None = None
    step_id: str | None = None
    limit: str = ""


type Entry = LifeBegan | CallIntended | CallSettled | ItemEnded | StepEnded | RunTurned

_KINDS: Mapping[str, type] = {
    "life": LifeBegan,
    "intent": CallIntended,
    "settled": CallSettled,
    "item": ItemEnded,
    "step": StepEnded,
    "turn": RunTurned,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def entry_value(entry: Entry) -> dict[str, Any]:
    """Write an entry as a plain value, money as decimal text."""
    fields = {f.name: _plain(getattr(entry, f.name)) for f in dataclasses.fields(entry)}
    return {"kind": _NAMES[type(entry)], **fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return usd_text(value)
    if isinstance(value, Bill | Failure):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def entry_of(value: Mapping[str, Any]) -> Entry:
    """Read an entry that `entry_value` wrote.

    Raises:
        ValueError: It is of a kind that is not known.
    """
    fields = dict(value)
    kind = _KINDS.get(fields.pop("kind", ""))
    if kind is None:
        raise ValueError(f"no kind of saved entry: {value.get('kind')!r}")
    if fields.get("bill") is not None:
        fields["bill"] = Bill(**_with_money(fields["bill"]))
    if fields.get("failure") is not None:
        fields["failure"] = Failure(**fields["failure"])
    entry: Entry = kind(**_with_money(fields))
    return entry


def _with_money(fields: Mapping[str, Any]) -> dict[str, Any]:
    cost = fields.get("cost_usd")
    return {**fields, "cost_usd": Decimal(cost)} if cost is not None else dict(fields)
