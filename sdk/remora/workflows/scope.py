"""What references of a running workflow lead to. Pure: the runner says what is known so far."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from remora.workflows.templates import ABSENT, Reference, RenderError

StepStatus = Literal["completed", "skipped", "failed", "defaulted"]
"""How a step ended.

``skipped``: its condition did not hold, or a step that it needs left nothing; ``failed``: as its
``on_failure: skip`` permits; ``defaulted``: skipped or failed, and its ``default`` stands in.
"""


@dataclass(frozen=True)
class StepResult:
    """What a step left behind.

    Attributes:
        status: How it ended.
        output: Its answer: text, or the value of its JSON; with ``map`` a list of them.
    """

    status: StepStatus
    output: object = None

    @property
    def left_nothing(self) -> bool:
        """Whether steps that need it are skipped."""
        return self.status in ("skipped", "failed")

    @property
    def facts(self) -> dict[str, object]:
        """What conditions and templates see of it."""
        outputs = self.output if isinstance(self.output, dict) else {}
        return {"status": self.status, "output": self.output, "outputs": outputs}


@dataclass(frozen=True)
class Scope:
    """What is known at one moment of a run.

    Attributes:
        input: The input, its defaults filled in.
        steps: What the steps left that are over.
        items: The item of a mapped step, by its name.
        optional: References that may have no value (`CompiledWorkflow.optional`).
    """

    input: object
    steps: Mapping[str, StepResult] = field(default_factory=dict)
    items: Mapping[str, object] = field(default_factory=dict)
    optional: Collection[Reference] = frozenset()

    def look_up(self, reference: Reference) -> object:
        """Give the value of a reference; ABSENT for an optional one without.

        Raises:
            RenderError: It leads nowhere; says where, but nothing of any value.
        """
        value = self._value(reference)
        if value is ABSENT and reference not in self.optional and not self._is_skipped(reference):
            raise RenderError(f"{reference} has no value")
        return value

    def _value(self, reference: Reference) -> object:
        root, path = reference.root, reference.path
        value: object = ABSENT
        if root in self.items:
            value = self.items[root]
        elif root == "steps" and path and path[0] in self.steps:
            value, path = self.steps[str(path[0])].facts, path[1:]
        elif root in ("input", "goal"):
            value = self.input if root == "input" else _below(self.input, "goal")
        for step in path:
            value = _below(value, step)
        return value

    def _is_skipped(self, reference: Reference) -> bool:
        """Tell whether it asks for something of a step that left nothing."""
        result = self.steps.get(str(reference.path[0])) if reference.path else None
        return reference.root == "steps" and result is not None and result.left_nothing

    @property
    def data(self) -> dict[str, object]:
        """What conditions are asked about."""
        goal = _below(self.input, "goal")
        steps = {step_id: result.facts for step_id, result in self.steps.items()}
        return {"goal": None if goal is ABSENT else goal, "input": self.input, "steps": steps}


def _below(value: object, step: str | int) -> object:
    if isinstance(value, dict):
        return value.get(str(step), ABSENT)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return ABSENT
