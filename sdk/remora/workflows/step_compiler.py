"""One step of a document: its templates parsed, its references followed, its schemas checked."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from remora.workflows.compiled import CompiledMessage, CompiledStep
from remora.workflows.conditions import Condition, compile_condition, constant_value
from remora.workflows.findings import Findings, Path
from remora.workflows.references import Vocabulary, items_in
from remora.workflows.schemas import Shape, schema_problems
from remora.workflows.shapes import Nowhere, Place
from remora.workflows.step import Step
from remora.workflows.strategy import Check
from remora.workflows.templates import Reference, Template, TemplateError, parse_template

_EMPTY = Template(())


@dataclass
class StepCompiler:
    """Compiles steps of one document, noting what is wrong.

    Attributes:
        findings: Gets the problems.
        vocabulary: What may be referred to from everywhere.
        optional: Gets the references that may have no value.
    """

    findings: Findings
    vocabulary: Vocabulary
    optional: set[Reference] = field(default_factory=set)

    def compile(self, step: Step, path: Path) -> CompiledStep:
        """Compile a step that stands at a path."""
        over, vocabulary = self._over(step, path)
        messages = tuple(self._messages(step, path, vocabulary))
        condition = self._condition(step, path)
        shape = self.shape(step.output.json_schema, (*path, "output", "schema"))
        checks = dict(self._checks(step, path))
        self._default(step, path, shape)
        sent = [m.content for m in messages] + [url for m in messages for _, url in m.attachments]
        templates = [over, *sent] if over is not None else sent
        references = [r for template in templates for r in template.references]
        references += condition.references if condition is not None else ()
        found = tuple(dict.fromkeys(references))
        return CompiledStep(step, messages, over, condition, found, shape, checks)

    def template(self, text: str, path: Path, vocabulary: Vocabulary | None = None) -> Template:
        """Parse a template and follow its references; empty if it is none."""
        try:
            template = parse_template(text)
        except TemplateError as error:
            for character, what in error.problems:
                self.findings.wrong(path, f"at character {character + 1}: {what}")
            return _EMPTY
        for reference in template.references:
            self.follow(reference, path, vocabulary or self.vocabulary)
        return template

    def follow(self, reference: Reference, path: Path, vocabulary: Vocabulary) -> Place | None:
        """Follow a reference; None if it leads nowhere, which is noted."""
        place = vocabulary.place(reference)
        if isinstance(place, Nowhere):
            self.findings.wrong(path, f"{reference}: {place.what}")
            return None
        if place.optional:
            self.optional.add(reference)
        return place

    def shape(self, schema: object, path: Path) -> Shape | None:
        """Check a schema; None if there is none, or a bad one."""
        if schema is None:
            return None
        found = schema_problems(schema)
        for inner, what in found:
            self.findings.wrong((*path, *inner), what)
        return Shape(schema) if not found and isinstance(schema, Mapping) else None

    def _over(self, step: Step, path: Path) -> tuple[Template | None, Vocabulary]:
        if step.map is None:
            return None, self.vocabulary
        where = (*path, "map", "over")
        over = self.template(step.map.over, where)
        reference = over.lone_reference
        items = Place(None)
        if reference is None:
            if over is not _EMPTY or not step.map.over:
                self.findings.wrong(where, "should be one reference to a list, and nothing else")
        else:
            self._has_type(reference, where, self.vocabulary, "array")
            items = items_in(self.vocabulary, reference)
        known = {**self.vocabulary.items, step.map.item: items}
        return over, dataclasses.replace(self.vocabulary, items=known)

    def _has_type(
        self, reference: Reference, path: Path, vocabulary: Vocabulary, wanted: str
    ) -> None:
        place = vocabulary.place(reference)
        if isinstance(place, Place) and wanted not in place.types:
            said = " or ".join(sorted(place.types)) or "nothing"
            self.findings.wrong(path, f"{reference}: should be {_NAMES[wanted]}, but is {said}")

    def _messages(
        self, step: Step, path: Path, vocabulary: Vocabulary
    ) -> Iterator[CompiledMessage]:
        for message, where in zip(step.conversation, _message_paths(step, path), strict=True):
            below = where if step.messages else ()
            content = (*where, "content") if below else where
            attachments = []
            for number, attached in enumerate(message.attachments):
                place = (*where, "attachments", number, "url")
                url = self.template(attached.url, place, vocabulary)
                if url.lone_reference is not None:
                    self._has_type(url.lone_reference, place, vocabulary, "string")
                attachments.append((attached.kind, url))
            text = self.template(message.content, content, vocabulary)
            yield CompiledMessage(message.role, text, tuple(attachments))

    def _condition(self, step: Step, path: Path) -> Condition | None:
        where = (*path, "condition")
        if step.condition is None:
            return None
        try:
            condition = compile_condition(step.condition)
            constant = constant_value(condition)
        except ValueError as error:
            self.findings.wrong(where, str(error))
            return None
        for reference in condition.references:
            self.follow(reference, where, self.vocabulary)
        if constant is not None:
            word = "always holds" if constant else "never holds: the step is always skipped"
            self.findings.odd(where, word)
        return condition

    def _checks(self, step: Step, path: Path) -> Iterator[tuple[int, Shape]]:
        for number, check in enumerate(step.checks):
            where = (*path, "checks", number)
            self._expression(check, (*where, "expression"))
            shape = self.shape(check.json_schema, (*where, "schema"))
            if shape is not None:
                yield number, shape
            if check.kind == "schema" and step.output.type == "text":
                self.findings.wrong(where, "holds a text against a schema: say output: json")

    def _expression(self, check: Check, path: Path) -> None:
        if check.expression is None:
            return
        from remora.workflows.answer_checks import AnswerCheck

        try:
            AnswerCheck(check.expression)
        except ValueError as error:
            self.findings.wrong(path, str(error))

    def _default(self, step: Step, path: Path, shape: Shape | None) -> None:
        where = (*path, "default")
        if not step.has_default:
            return
        if step.output.type == "text" and not isinstance(step.default, str):
            self.findings.wrong(where, "should be text, as the step's output is")
        for inner, what in shape.problems(step.default) if shape is not None else ():
            self.findings.wrong((*where, *inner), what)


_NAMES = {"array": "a list", "string": "text"}


def _message_paths(step: Step, path: Path) -> list[Path]:
    if step.messages:
        return [(*path, "messages", number) for number in range(len(step.messages))]
    first: list[Path] = [] if step.system is None else [(*path, "system")]
    return [*first, (*path, "prompt")]
