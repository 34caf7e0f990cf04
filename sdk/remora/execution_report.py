"""What is told of an execution of a workflow: names, states, figures and codes.

No prompt, input, answer or error message is among them: messages may quote what users wrote.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

NO_MONEY: Final = Decimal(0)


class ExecutionStatus(Enum):
    """Where an execution stands."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BUDGET_EXCEEDED = "budget_exceeded"
    UNKNOWN = "unknown"
    """Of a newer sidecar."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self not in (ExecutionStatus.RUNNING, ExecutionStatus.PAUSED)


class StepStatus(Enum):
    """Where a step stands."""

    WAITING = "waiting"
    """For other steps."""
    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    DEFAULTED = "defaulted"
    """Its default stands for its answer."""
    CANCELLED = "cancelled"
    """It had begun when the execution ended, and has no answer."""
    NOT_STARTED = "not_started"
    """The execution ended before it began."""
    UNKNOWN = "unknown"
    """Of a newer sidecar."""


@dataclass(frozen=True, slots=True)
class StepReported:
    """How one step goes, or went.

    Attributes:
        depends_on: The steps that it waits for.
        provider: Whose answer it is; empty: nobody's, or of several.
        model: Whose answer it is.
        known_cost_usd: Sum of what is known.
        unpriced_calls: How many calls there are whose cost is unknown.
        receipt_ids: Of the calls that have a record.
        more_receipts: How many there are beyond those.
        open_calls: Calls that were abandoned and are not over: their cost is not in yet.
        error_code: Why it failed or was skipped; empty if it did not.
        note: How its answer came about, where there is something to say.
    """

    step_id: str
    status: StepStatus
    depends_on: tuple[str, ...] = ()
    strategy: str = ""
    tier: str = ""
    provider: str = ""
    model: str = ""
    latency_ms: int = 0
    known_cost_usd: Decimal = NO_MONEY
    unpriced_calls: int = 0
    tokens: int = 0
    receipt_ids: tuple[str, ...] = ()
    more_receipts: int = 0
    open_calls: int = 0
    error_code: str = ""
    note: str = ""

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None: a part of it is unknown."""
        return None if self.unpriced_calls else self.known_cost_usd


@dataclass(frozen=True, slots=True)
class ExecutionBudget:
    """Limits of one execution; None where it is not limited.

    Attributes:
        on_exceed: ``block``, ``downgrade`` or ``warn``.
    """

    max_cost_usd: Decimal | None = None
    max_tokens: int | None = None
    max_latency_ms: int | None = None
    on_exceed: str = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """How an execution goes, or went.

    Attributes:
        execution_id: Names it within its namespace.
        owns_task: Whether the task is there for it alone, so that the task's state follows.
        revision: Grows by one with each report of the execution, from 1.
        ended_unix_ns: 0: it goes on.
        known_cost_usd: Sum of what is known.
        unpriced_calls: How many calls there are whose cost is unknown.
        latency_ms: From its begin to its end, or until now.
        estimate_most_usd: What it may cost at most, as was reckoned before it began; None: unknown.
        steps: In an order in which they may run.
        error_code: Why it did not complete; empty if it did.
        failed_step: The step that it failed at.
        downgraded: Scopes whose budget moved it to cheaper models.
        trace_id: Of its calls' spans.
    """

    execution_id: str
    task_id: str
    owns_task: bool
    workflow: str
    workflow_digest: str
    revision: int
    status: ExecutionStatus
    began_unix_ns: int
    ended_unix_ns: int = 0
    budget: ExecutionBudget | None = None
    known_cost_usd: Decimal = NO_MONEY
    unpriced_calls: int = 0
    tokens: int = 0
    latency_ms: int = 0
    estimate_most_usd: Decimal | None = None
    steps: tuple[StepReported, ...] = ()
    error_code: str = ""
    failed_step: str = ""
    downgraded: tuple[str, ...] = ()
    session_id: str = ""
    agent_id: str = ""
    trace_id: str = ""

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None: a part of it is unknown."""
        return None if self.unpriced_calls else self.known_cost_usd


@dataclass(frozen=True, slots=True)
class StepCounts:
    """How many steps stand where.

    Attributes:
        ended: However they ended.
    """

    steps: int = 0
    ended: int = 0
    failed: int = 0
    running: int = 0
