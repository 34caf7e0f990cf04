"""A workflow that was checked whole: what runs it needs nothing else of the language.

Made by `remora.workflows.document`; every template is parsed, every condition compiled, every
reference known to lead somewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remora.errors import Problem
from remora.workflows.conditions import Condition
from remora.workflows.graph import Graph
from remora.workflows.references import step_of
from remora.workflows.schemas import Shape
from remora.workflows.step import Step
from remora.workflows.templates import Reference, Template, ValueTemplate
from remora.workflows.workflow import Workflow


@dataclass(frozen=True)
class CompiledMessage:
    """A message whose templates are parsed.

    Attributes:
        role: ``system``, ``user`` or ``assistant``.
        content: Template of its text.
        attachments: Kind of each thing attached, and the template of its URL.
    """

    role: str
    content: Template
    attachments: tuple[tuple[str, Template], ...] = ()


@dataclass(frozen=True)
class CompiledStep:
    """A step, ready to be asked.

    Attributes:
        step: As written.
        messages: What is sent.
        over: Where the list to be mapped over comes from; None without ``map``.
        condition: None: it always runs.
        references: Everything that it refers to.
        shape: What an answer (with ``map``: each one) has to be; None: anything of its type.
        checks: Schemas of ``checks``, by their place in that list.
    """

    step: Step
    messages: tuple[CompiledMessage, ...]
    over: Template | None
    condition: Condition | None
    references: tuple[Reference, ...]
    shape: Shape | None = field(compare=False, default=None)
    checks: Mapping[int, Shape] = field(compare=False, default_factory=dict)

    @property
    def needs(self) -> frozenset[str]:
        """The steps without whose answers this one is skipped.

        One that only asks how another ended waits for it, and is not skipped with it.
        """
        asked = (r for r in self.references if r.path[1:] != ("status",))
        found = (step_of(reference) for reference in asked)
        return frozenset(self.step.depends_on).union(s for s in found if s is not None)

    @property
    def templates(self) -> tuple[Template, ...]:
        """Templates of what is sent."""
        urls = (url for message in self.messages for _, url in message.attachments)
        return (*(message.content for message in self.messages), *urls)


@dataclass(frozen=True)
class CompiledWorkflow:
    """A workflow, ready to be run.

    Attributes:
        workflow: As written.
        steps: By their ids, in the order of the document.
        graph: Which waits for which.
        outputs: Templates of the results.
        input_shape: What the input has to be; None: anything.
        digest: sha256 in hex of the workflow as written, whatever it was written in.
        warnings: What may stand, but was hardly meant.
        optional: References that may have no value, which then is empty text or null.
    """

    workflow: Workflow
    steps: Mapping[str, CompiledStep]
    graph: Graph
    outputs: Mapping[str, ValueTemplate]
    input_shape: Shape | None = field(compare=False)
    digest: str
    warnings: tuple[Problem, ...] = ()
    optional: frozenset[Reference] = frozenset()

    def with_defaults(self, value: object) -> object:
        """Fill an input's missing top-level fields with the defaults of its schema."""
        schema = self.workflow.input_schema
        if not isinstance(value, dict) or not isinstance(schema, dict):
            return value
        return {**_defaults(schema), **value}

    def input_problems(self, value: object) -> list[Problem]:
        """Find what is wrong with an input, its defaults filled in; quotes nothing of it."""
        from remora.policy.yaml_source import path_text

        if self.input_shape is None:
            return []
        found = self.input_shape.problems(self.with_defaults(value))
        return [Problem(path_text(("input", *path)), what) for path, what in found]


def _defaults(schema: Mapping[str, Any]) -> dict[str, object]:
    properties = schema.get("properties", {})
    return {
        name: inner["default"]
        for name, inner in properties.items()
        if isinstance(inner, dict) and "default" in inner
    }
