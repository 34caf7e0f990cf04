"""A workflow: steps, what goes in and what comes out."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from remora.workflows.budget import Budget
from remora.workflows.model import MAX_STEPS, Json, WorkflowModel, WorkflowName
from remora.workflows.step import Step


class Example(WorkflowModel):
    """An input that the workflow is meant for."""

    description: Annotated[str, Field(max_length=2000)] = ""
    input: Json


class Workflow(WorkflowModel):
    """A workflow as it is written.

    Attributes:
        name: Names it; by it spending is attributed.
        description: For people.
        input_schema: JSON Schema of the input, the field is ``input``; None takes any input.
        steps: In any order; which comes first follows from what refers to what.
        outputs: Name of each result and the template that makes it; a value other than text
            may have templates in it. None: the output of every step that no other needs.
        budget: What one run may cost.
        examples: Inputs to try it with.
    """

    name: WorkflowName
    description: Annotated[str, Field(max_length=10_000)] = ""
    input_schema: Json | None = Field(default=None, alias="input")
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    outputs: Annotated[Mapping[str, Json], Field(max_length=200)] | None = None
    budget: Budget | None = None
    examples: Annotated[tuple[Example, ...], Field(max_length=20)] = ()

    def step(self, step_id: str) -> Step:
        """Return a step by its id; KeyError if there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)
