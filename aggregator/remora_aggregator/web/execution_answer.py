"""The JSON of a workflow's execution, and its schema. Pure."""

from typing import Any

from pydantic import ConfigDict, Field

from remora.cli.execution_json import execution_json as stored_execution_json
from remora.client.executions import stored_execution_of
from remora_aggregator.web.record_answer import Answer, moment, money
from remora_proto.v1 import workflows_pb2 as pb


class StepCountsAnswer(Answer):
    """How many steps stand where."""

    model_config = ConfigDict(title="StepCounts")

    steps: int
    ended: int = Field(description="However they ended.")
    failed: int
    running: int


class ExecutionBudgetAnswer(Answer):
    """Limits of one execution; null where it is not limited."""

    model_config = ConfigDict(title="ExecutionBudget")

    max_cost_usd: str | None = money("How much it may cost.")
    max_tokens: int | None
    max_latency_ms: int | None
    on_exceed: str = Field(description="`block`, `downgrade` or `warn`.")


class ExecutionErrorAnswer(Answer):
    """Why an execution did not complete."""

    model_config = ConfigDict(title="ExecutionError")

    code: str
    step_id: str | None = Field(description="Where it failed at a step.")


class StepAnswer(Answer):
    """How one step goes, or went."""

    model_config = ConfigDict(title="ExecutionStep")

    step_id: str
    status: str = Field(
        description="`waiting`, `running`, `completed`, `skipped`, `failed`, `defaulted`, "
        "`cancelled` or `not_started`."
    )
    depends_on: list[str]
    strategy: str | None
    tier: str | None
    provider: str | None
    model_id: str | None = Field(description="Whose answer it is; null: nobody's, or of several.")
    latency_ms: int
    cost_usd: str | None = money("Null: a part of it is unknown.")
    known_cost_usd: str = money("What is known of it.")
    unpriced_calls: int
    tokens: int
    receipt_ids: list[str] = Field(description="Of its calls that have a record.")
    more_receipts: int = Field(description="How many there are beyond those.")
    open_calls: int = Field(description="Calls that were abandoned and whose cost is not in yet.")
    error_code: str | None
    note: str | None


class ExecutionAnswer(Answer):
    """An execution of a workflow, without its steps."""

    model_config = ConfigDict(title="Execution")

    namespace: str
    execution_id: str
    task_id: str | None
    owns_task: bool = Field(description="Whether the task is there for it alone.")
    workflow: str
    workflow_digest: str | None
    revision: int
    status: str = Field(
        description="`running`, `paused`, `completed`, `failed`, `cancelled` or `budget_exceeded`."
    )
    began_at: str = moment("When it began.")
    ended_at: str | None = moment("When it ended; null: it goes on.")
    budget: ExecutionBudgetAnswer | None
    total_cost_usd: str | None = money("Null: a part of it is unknown.")
    known_cost_usd: str = money("What is known of it.")
    unpriced_calls: int
    total_tokens: int
    total_latency_ms: int = Field(description="From its begin to its end, or until it was told.")
    estimate_most_usd: str | None = money("What it may cost at most; null: unknown.")
    error: ExecutionErrorAnswer | None
    downgraded: list[str] = Field(description="Scopes whose budget moved it to cheaper models.")
    session_id: str | None
    agent_id: str | None
    trace_id: str | None
    pod_uid: str
    pod_name: str | None
    workload: str | None
    received_at: str = moment("When it was told of last.")
    step_counts: StepCountsAnswer


class ExecutionWithStepsAnswer(ExecutionAnswer):
    """An execution of a workflow, with its steps."""

    model_config = ConfigDict(title="ExecutionWithSteps")

    steps: list[StepAnswer] = Field(description="In an order in which they may run.")


class ExecutionPageAnswer(Answer):
    """Some executions, those that began last first."""

    model_config = ConfigDict(title="ExecutionPage")

    executions: list[ExecutionAnswer]
    next: str | None = Field(description="Ask again with this as `cursor`; null: no more.")


def execution_json(message: pb.StoredExecution, *, steps: bool = False) -> dict[str, Any]:
    """Show an execution."""
    return stored_execution_json(stored_execution_of(message), steps=steps)
