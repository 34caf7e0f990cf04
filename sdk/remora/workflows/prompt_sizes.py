"""How large a workflow's prompts may get: from literal text, answers' limits and the input."""

from dataclasses import dataclass

from remora.workflows.compiled import CompiledStep, CompiledWorkflow
from remora.workflows.references import Vocabulary, step_of
from remora.workflows.scope import Scope
from remora.workflows.shapes import Nowhere
from remora.workflows.sizes import (
    ASSUMED_TOKENS,
    TOKENS_OF_ATTACHMENT,
    TOKENS_OF_FORM,
    TOKENS_OF_MESSAGE,
    least_tokens,
    most_tokens,
)
from remora.workflows.step import Step
from remora.workflows.templates import ABSENT, Reference, RenderError, Template, text_of


@dataclass(frozen=True, slots=True)
class Size:
    """Bounds in tokens."""

    least: int
    most: int

    def __add__(self, other: "Size") -> "Size":
        return Size(self.least + other.least, self.most + other.most)


_NOTHING = Size(0, 0)
_STATUS = Size(1, 4)


class PromptSizes:
    """Sizes of the prompts of one workflow.

    Attributes:
        assumed: References of whose size nothing is known.
    """

    def __init__(self, workflow: CompiledWorkflow, input_value: object = None) -> None:
        """Reckon with an input, if it is known."""
        self.assumed: set[str] = set()
        self._workflow = workflow
        steps = {step_id: compiled.step for step_id, compiled in workflow.steps.items()}
        self._vocabulary = Vocabulary(workflow.workflow.input_schema, steps, {})
        self._input = None if input_value is None else workflow.with_defaults(input_value)

    def of_step(self, step: CompiledStep) -> tuple[Size, int]:
        """Return the size of one of the step's prompts, and how many it may ask at most."""
        total = Size(0, len(step.messages) * TOKENS_OF_MESSAGE)
        for message in step.messages:
            total += self._of_template(message.content, step)
            attached = len(message.attachments)
            total += Size(attached, attached * TOKENS_OF_ATTACHMENT)
        if step.step.output.type == "json":
            total += Size(0, TOKENS_OF_FORM)
        schema = step.step.output.json_schema
        said = _NOTHING if schema is None else Size(0, _text(text_of(schema)).most)
        return total + said, self._items(step)

    def _of_template(self, template: Template, step: CompiledStep) -> Size:
        total = _NOTHING
        for part in template.parts:
            total += self._of_reference(part, step) if isinstance(part, Reference) else _text(part)
        return total

    def _of_reference(self, reference: Reference, step: CompiledStep) -> Size:
        if step.step.map is not None and reference.root == step.step.map.item:
            return self._of_item(step)
        other = self._workflow.steps.get(step_of(reference) or "")
        if other is not None:
            if reference.path[1:] == ("status",):
                return _STATUS
            return Size(0, other.step.answer_limit_tokens * self._items(other))
        known = self._known(reference)
        if known is None:
            return self._assumed(reference)
        return _text(text_of(known))

    def _known(self, reference: Reference) -> object | None:
        """Give the value of a reference to the input, if it is known."""
        if self._input is None:
            return None
        scope = Scope(self._input, optional=self._workflow.optional)
        try:
            value = scope.look_up(reference)
        except RenderError:
            return None
        return "" if value is ABSENT else value

    def _assumed(self, reference: Reference) -> Size:
        place = self._vocabulary.place(reference)
        limit = None if isinstance(place, Nowhere) else place.max_characters
        if limit is not None:
            return Size(0, limit)  # a token a character: more than most scripts have
        self.assumed.add(str(reference))
        return Size(0, ASSUMED_TOKENS)

    def _of_item(self, step: CompiledStep) -> Size:
        over = _list_of(step)
        known = self._known(over)
        if isinstance(known, list) and known:
            sizes = [_text(text_of(item)) for item in known]
            return Size(min(size.least for size in sizes), max(size.most for size in sizes))
        maker = self._maker(over)
        if maker is not None:
            return Size(0, maker.answer_limit_tokens)
        return self._assumed(over)

    def _items(self, step: CompiledStep) -> int:
        """Return how many items the step may be mapped over; 1 without ``map``."""
        if step.step.map is None:
            return 1
        limit, over = step.step.map.max_items, _list_of(step)
        known = self._known(over)
        if isinstance(known, list):
            return min(limit, len(known))
        place = self._vocabulary.place(over)
        said = None if isinstance(place, Nowhere) else place.max_items
        return limit if said is None else min(limit, said)

    def _maker(self, reference: Reference) -> Step | None:
        found = self._workflow.steps.get(step_of(reference) or "")
        return None if found is None else found.step


def _list_of(step: CompiledStep) -> Reference:
    over = step.over.lone_reference if step.over is not None else None
    assert over is not None  # noqa: S101 - checked when the workflow was
    return over


def _text(text: str) -> Size:
    return Size(least_tokens(text), most_tokens(text))
