"""What a run goes by, and never changes: the workflow, its input, its budgets, who knows models."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from remora.workflows.budget import Budget
from remora.workflows.compiled import CompiledStep, CompiledWorkflow
from remora_sidecar.workflows.envelope import Envelope
from remora_sidecar.workflows.question import Choose
from remora_sidecar.workflows.reading import Expression, cel_expression


@dataclass(frozen=True)
class Plan:
    """What a run goes by.

    Attributes:
        workflow: What is run.
        input_value: As given; it fits the workflow's input schema.
        choose: Gives the models for each call.
        budget: Of this run, beside the workflow's own; both hold.
        task: Envelope of the task that the run belongs to; other runs may share it.
        expression: Compiles expressions of checks.
    """

    workflow: CompiledWorkflow
    input_value: Any
    choose: Choose
    budget: Budget | None = None
    task: Envelope | None = None
    expression: Expression = cel_expression

    @cached_property
    def input(self) -> Any:
        """The input with the defaults of its schema filled in."""
        return self.workflow.with_defaults(self.input_value)

    @cached_property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """Of each step, those that wait for it directly, in an order in which they may run."""
        found: dict[str, list[str]] = {step_id: [] for step_id in self.workflow.steps}
        for step_id in self.workflow.graph.order:
            for before in self.workflow.graph.dependencies[step_id]:
                found[before].append(step_id)
        return {step_id: tuple(after) for step_id, after in found.items()}

    def step(self, step_id: str) -> CompiledStep:
        """Return a step by its id."""
        return self.workflow.steps[step_id]

    def envelopes(self, began_ms: int) -> Envelope:
        """Return the workflow's envelope, within the run's, within the task's."""
        around = self.task
        if self.budget is not None:
            around = Envelope("run", self.budget, parent=around, began_ms=began_ms)
        own = self.workflow.workflow.budget
        return Envelope("workflow", own, parent=around, began_ms=began_ms)
