"""What a program orders: which workflow, with what input, within which budgets. Parsed once."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from remora.workflows.budget import Budget
from remora_sidecar.openai_api.asked import MAX_TASK_ID_CHARACTERS

type OnDisconnect = Literal["continue", "cancel"]

_Id = Annotated[
    str, Field(min_length=1, max_length=MAX_TASK_ID_CHARACTERS, pattern=r"^[!-~](?:[ -~]*[!-~])?$")
]


class WorkflowSource(BaseModel):
    """A workflow as text.

    Attributes:
        text: YAML or JSON.
        file: Its name, for messages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    file: str = Field(default="workflow.yaml", max_length=1024)


class RunOrder(BaseModel):
    """The body of ``POST /v1/workflows/execute`` and ``/stream``.

    Attributes:
        workflow: A name of `remora workflow list`, or a workflow as JSON.
        source: A workflow as text, in its place.
        input: What it works on.
        budget: Of this run, beside the workflow's own.
        task_id: Of the task that it belongs to; None: one of its own.
        task_budget: Of that task, shared by all its runs in this sidecar.
        idempotency_key: The same key and order give the same run.
        wait: Whether the answer comes when the run is over.
        on_disconnect: What becomes of the run when its client has gone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: str | dict[str, Any] | None = None
    source: WorkflowSource | None = None
    input: Any = Field(default_factory=dict)
    budget: Budget | None = None
    task_id: _Id | None = None
    task_budget: Budget | None = None
    idempotency_key: _Id | None = None
    wait: bool = True
    on_disconnect: OnDisconnect = "continue"

    @model_validator(mode="after")
    def _names_one_workflow(self) -> Self:
        if (self.workflow is None) == (self.source is None):
            raise ValueError("give either workflow or source")
        return self

    @property
    def digest(self) -> str:
        """Tell two orders apart: sha256 in hex of all that decides what is run."""
        names = {"workflow", "source", "input", "budget", "task_id", "task_budget"}
        plain = self.model_dump(mode="json", include=names)
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Ordered:
    """An order that was accepted, as it is written down.

    Attributes:
        execution_id: ``exec_`` and 32 hex digits.
        session_id: Whose it is.
        task_id: Of its task.
        owns_task: Whether the task is this run's own.
        workflow: A workflow as JSON, or its `WorkflowSource`.
        name: Of the workflow.
        workflow_digest: Of the workflow.
        digest: Of the order.
        began_unix_ns: When it was accepted.
        estimate: What it may take, as answers show it.
        warnings: What may stand in the workflow, but was hardly meant.
        input: What it works on.
        budget: Of this run.
        task_budget: Of its task.
        idempotency_key: None: it has none.
    """

    execution_id: str
    session_id: str
    task_id: str
    owns_task: bool
    workflow: dict[str, Any] | WorkflowSource = field(repr=False)
    name: str
    workflow_digest: str
    digest: str
    began_unix_ns: int
    estimate: dict[str, Any]
    warnings: list[dict[str, str]]
    input: Any = field(repr=False, default=None)
    budget: Budget | None = None
    task_budget: Budget | None = None
    idempotency_key: str | None = None

    @property
    def trace_id(self) -> str:
        """Of the trace that all of its calls belong to: 32 hex digits."""
        return self.execution_id.removeprefix(EXECUTION_PREFIX)

    def without_texts(self) -> "Ordered":
        """Leave out what was ordered: the run is over."""
        return dataclasses.replace(self, workflow={}, input=None)

    def value(self) -> dict[str, Any]:
        """Write it as plain values."""
        plain = dict(self.__dict__)
        for name in ("budget", "task_budget"):
            plain[name] = _plain(plain[name])
        is_text = isinstance(self.workflow, WorkflowSource)
        del plain["workflow"]
        plain["source" if is_text else "document"] = _plain(self.workflow)
        return plain


EXECUTION_PREFIX = "exec_"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    return value


def ordered_of(value: dict[str, Any]) -> Ordered:
    """Read an order that `Ordered.value` wrote."""
    plain = dict(value)
    for name in ("budget", "task_budget"):
        if plain[name] is not None:
            plain[name] = Budget.model_validate(plain[name])
    source = plain.pop("source", None)
    document = plain.pop("document", None)
    workflow = document if source is None else WorkflowSource.model_validate(source)
    return Ordered(workflow=workflow, **plain)
