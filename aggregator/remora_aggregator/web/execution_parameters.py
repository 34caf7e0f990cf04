"""What may be asked of executions of workflows. Pure."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from remora_aggregator.store.execution_selection import PAGE_EXECUTIONS
from remora_aggregator.web.parameters import LongText, Parameters, Text, split_at_commas

ExecutionStatusName = Literal[
    "running", "paused", "completed", "failed", "cancelled", "budget_exceeded"
]


class ExecutionListParameters(Parameters):
    """Which executions are listed; all that is given must match."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    status: Annotated[list[ExecutionStatusName], BeforeValidator(split_at_commas)] = Field(
        default=[], description="Any of these, separated by commas."
    )
    workflow: Text = Field(default="", description="The workflow's name.")
    task_id: Text = ""
    session_id: Text = ""
    agent_id: Text = ""
    since: Text = Field(default="", description="Began then or later; as `since` of /v1/records.")
    limit: int = Field(
        default=100, ge=1, le=PAGE_EXECUTIONS, description="Executions in one answer."
    )
    cursor: LongText = Field(default="", description="Go on after it; `next` of the page before.")


class ExecutionWatchParameters(Parameters):
    """Whose executions are followed, and from where."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    execution_id: Text = Field(default="", description="Only this one, with its steps.")
    cursor: Text = Field(
        default="",
        description="Go on after it, without gap; the header `Last-Event-ID` wins. Default: from "
        "now.",
    )
