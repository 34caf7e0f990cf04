"""What a run came to: outputs, and for each step who answered, what it cost and its receipts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from remora_sidecar.workflows.amounts import NO_MONEY, Bill, sum_usd, usd_text
from remora_sidecar.workflows.saved import Failure

RunStatus = Literal["completed", "failed", "cancelled", "budget_exceeded"]

ReportStatus = Literal["completed", "skipped", "failed", "defaulted", "cancelled", "not_started"]
"""How a step ended; ``cancelled``: it had begun when the run ended, and has no answer."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call of a step.

    Attributes:
        key: Names it within the run.
        purpose: What for.
        item: Place of the item; None without ``map``.
        status: ``ok``, ``abandoned``, ``lost`` (with the process that made it, no receipt is
            known) or the kind of failure.
        provider: Who was asked.
        model: Which one.
        bill: What it took; None: it was never made, or is lost.
        reserved_usd: What had been set aside for it.
        reserved_tokens: What had been set aside for it.
    """

    key: str
    purpose: str
    item: int | None
    status: str
    provider: str
    model: str
    bill: Bill | None
    reserved_usd: Decimal = NO_MONEY
    reserved_tokens: int = 0

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None: unknown."""
        if self.bill is None:
            return None if self.status == "lost" else NO_MONEY
        return self.bill.cost_usd

    def counted(self, bill: Bill) -> tuple[Decimal, int]:
        """Return what counts against budgets; where the bill is silent, what was set aside."""
        cost = self.reserved_usd if bill.cost_usd is None else bill.cost_usd
        return cost, self.reserved_tokens if bill.tokens is None else bill.tokens

    def value(self) -> dict[str, Any]:
        """Write it as results carry it."""
        bill = self.bill
        place = {} if self.item is None else {"item": self.item}
        return {
            "receipt_id": None if bill is None else bill.call_id,
            "purpose": self.purpose,
            **place,
            "status": self.status,
            "provider": self.provider if bill is None else bill.provider or self.provider,
            "model_id": self.model if bill is None else bill.model or self.model,
            "cost_usd": usd_text(self.cost_usd),
            "latency_ms": None if bill is None else bill.latency_ms,
            "input_tokens": None if bill is None else bill.input_tokens,
            "output_tokens": None if bill is None else bill.output_tokens,
        }


@dataclass(frozen=True)
class Spending:
    """What some calls took together.

    Attributes:
        known_usd: The sum of what is known.
        unpriced_calls: How many there are whose cost is unknown.
        tokens: The sum of what is known.
        receipt_ids: Of the calls that have a receipt.
    """

    known_usd: Decimal = NO_MONEY
    unpriced_calls: int = 0
    tokens: int = 0
    receipt_ids: tuple[str, ...] = ()

    @property
    def cost_usd(self) -> Decimal | None:
        """The sum; None: of a part of it nothing is known."""
        return None if self.unpriced_calls else self.known_usd

    def value(self) -> dict[str, Any]:
        """Write it as steps of results carry it."""
        return {
            "cost_usd": usd_text(self.cost_usd),
            "known_cost_usd": usd_text(self.known_usd),
            "unpriced_calls": self.unpriced_calls,
            "tokens": self.tokens,
            "receipt_ids": list(self.receipt_ids),
        }


def spending_of(calls: tuple[CallReport, ...]) -> Spending:
    """Add up calls."""
    costs = [call.cost_usd for call in calls]
    bills = [call.bill for call in calls if call.bill is not None]
    return Spending(
        known_usd=sum_usd(cost for cost in costs if cost is not None),
        unpriced_calls=costs.count(None),
        tokens=sum(bill.tokens or 0 for bill in bills),
        receipt_ids=tuple(bill.call_id for bill in bills),
    )


@dataclass(frozen=True)
class StepReport:
    """How one step went.

    Attributes:
        step_id: Which one.
        status: How it ended.
        latency_ms: From its begin to its end.
        provider: Whose answer it is; empty: nobody's, or of several.
        model: Whose answer it is.
        note: How the answer came about, where there is something to say.
        failure: Why it failed or was skipped.
        was_skipped: Whether a default stands for a step that was skipped.
        calls: Those that are over.
        open_calls: How many are abandoned and not over, so that their cost is not in yet.
    """

    step_id: str
    status: ReportStatus
    latency_ms: int = 0
    provider: str = ""
    model: str = ""
    note: str = ""
    failure: Failure | None = None
    was_skipped: bool = False
    calls: tuple[CallReport, ...] = ()
    open_calls: int = 0

    @property
    def spending(self) -> Spending:
        """What its calls took."""
        return spending_of(self.calls)

    def value(self) -> dict[str, Any]:
        """Write it as results and events carry it."""
        return {
            "step_id": self.step_id,
            "status": self.status,
            "model_id": self.model or None,
            "provider": self.provider or None,
            "latency_ms": self.latency_ms,
            **self.spending.value(),
            "open_calls": self.open_calls,
            "note": self.note or None,
            "error": None if self.failure is None else self.failure.facts(),
            "calls": [call.value() for call in self.calls],
        }


@dataclass(frozen=True)
class Execution:
    """What a run came to.

    Attributes:
        workflow: Its name.
        status: How it ended.
        outputs: By their names; where it did not complete, those of steps that are missing
            are null.
        steps: Each step of the workflow, in an order in which they may run.
        total_latency_ms: From begin to end.
        failure: Why it did not complete.
        failed_step: The step that it failed at.
        downgraded: Scopes whose budget moved it to cheaper models.
    """

    workflow: str
    status: RunStatus
    outputs: Mapping[str, Any]
    steps: tuple[StepReport, ...]
    total_latency_ms: int
    failure: Failure | None = None
    failed_step: str | None = None
    downgraded: tuple[str, ...] = field(default=())

    @property
    def spending(self) -> Spending:
        """What all calls took."""
        return spending_of(tuple(call for step in self.steps for call in step.calls))

    @property
    def total_cost_usd(self) -> Decimal | None:
        """What the receipts' costs come to; None: one of them is unknown."""
        return self.spending.cost_usd

    def value(self) -> dict[str, Any]:
        """Write it as answers carry it; money is decimal text."""
        spending = self.spending
        failure = None if self.failure is None else self.failure.facts()
        if failure is not None and self.failed_step is not None:
            failure["step_id"] = self.failed_step
        return {
            "workflow": self.workflow,
            "status": self.status,
            "outputs": dict(self.outputs),
            "total_cost_usd": usd_text(spending.cost_usd),
            "known_cost_usd": usd_text(spending.known_usd),
            "unpriced_calls": spending.unpriced_calls,
            "total_latency_ms": self.total_latency_ms,
            "total_tokens": spending.tokens,
            "steps": [step.value() for step in self.steps],
            "downgraded": list(self.downgraded),
            "error": failure,
        }
