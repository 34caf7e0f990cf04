"""What a run of a workflow is ordered with: the body of the call, made from what programs give."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from remora.errors import ConfigError, Problem

if TYPE_CHECKING:
    from remora.workflows.budget import Budget

type WorkflowGiven = str | PathLike[str] | Mapping[str, Any]
"""A name of `remora workflow list`, a file of YAML or JSON, or the document itself."""

type BudgetGiven = Mapping[str, Any] | Budget | None
"""``{max_cost_usd, max_tokens, max_latency_ms, on_exceed}``, at least one limit; None: none."""

type OnDisconnect = Literal["continue", "cancel"]
"""What becomes of a run whose client has gone."""

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True)
class Order:
    """One run that is wanted; `body` is what the sidecar is sent.

    Attributes:
        workflow: Which.
        input: Any JSON; None: nothing.
        budget: Of this run.
        task_id: Of the task that it belongs to; None: one of its own.
        task_budget: Of that task.
        idempotency_key: The same key and order give the same run.
        on_disconnect: ``continue`` or ``cancel``.
    """

    workflow: WorkflowGiven = field(repr=False)
    input: Any = field(default=None, repr=False)
    budget: BudgetGiven = None
    task_id: str | None = None
    task_budget: BudgetGiven = None
    idempotency_key: str | None = None
    on_disconnect: OnDisconnect = "continue"

    def body(self) -> dict[str, Any]:
        """Write it down, with a key of its own if it has none: so it can be sent again.

        Raises:
            ConfigError: The file of the workflow can't be read.
        """
        said = {
            **_workflow(self.workflow),
            "input": self.input,
            "budget": _budget(self.budget),
            "task_id": self.task_id,
            "task_budget": _budget(self.task_budget),
            "idempotency_key": self.idempotency_key or uuid.uuid4().hex,
            "on_disconnect": None if self.on_disconnect == "continue" else self.on_disconnect,
        }
        return {name: value for name, value in said.items() if value is not None}


def _workflow(given: WorkflowGiven) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return {"workflow": dict(given)}
    path = Path(given)
    if isinstance(given, str) and path.suffix.lower() not in _SUFFIXES and not _is_file(path):
        return {"workflow": given}
    return {"source": {"text": _text(path), "file": path.name}}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"can't be read: {error.strerror or type(error).__name__}"
    except ValueError:
        what = "can't be read: it is no UTF-8 text"
    raise ConfigError([Problem(str(path), what)])


def _budget(given: BudgetGiven) -> dict[str, Any] | None:
    if given is None or isinstance(given, Mapping):
        return None if given is None else dict(given)
    return given.model_dump(mode="json", exclude_none=True)
