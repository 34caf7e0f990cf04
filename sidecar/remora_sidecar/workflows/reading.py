"""What an answer says: read as its step wants it, and held against the step's checks."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from remora.policy.yaml_source import path_text
from remora.workflows.compiled import CompiledStep
from remora.workflows.model import plain_problem
from remora.workflows.schemas import Shape
from remora.workflows.strategy import Check

FaultKind = Literal["malformed", "check"]
_FENCED = re.compile(r"\A```[A-Za-z]*\s*\n(.*)\n\s*```\Z", re.DOTALL)
_MAX_SHOWN_PROBLEMS = 10


class Passes(Protocol):
    """Tells whether an answer passes an expression."""

    def passes(self, *, output: object, text: str, input_value: object) -> bool:
        """Tell it of an answer, its text and the workflow's input."""
        ...


type Expression = Callable[[str], Passes]
"""Compiles the expression of a check."""


@lru_cache(maxsize=256)
def cel_expression(text: str) -> Passes:
    """Compile an expression in CEL.

    Raises:
        ValueError: It is none, or CEL is not installed.
    """
    from remora.workflows.answer_checks import AnswerCheck

    return AnswerCheck(text)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an answer does not pass.

    Attributes:
        kind: ``malformed``: no JSON, or not of its schema; ``check``: it fails a check.
        problems: What is wrong, without any text of the answer.
        may_mend: Whether the model may mend it, told what is wrong.
    """

    kind: FaultKind
    problems: tuple[str, ...]
    may_mend: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer that was read.

    Attributes:
        text: As it came.
        value: The text, or the value of its JSON; None if it could not be read.
        fault: None: it passes.
        was_cut: Whether it ended at its longest length.
    """

    text: str
    value: Any = None
    fault: Fault | None = None
    was_cut: bool = False


@dataclass(frozen=True)
class Reader:
    """Reads the answers of one step.

    Attributes:
        step: Says what an answer has to be.
        input_value: The workflow's input, for expressions.
        expression: Compiles expressions.
    """

    step: CompiledStep
    input_value: object
    expression: Expression = cel_expression

    def read(self, text: str, *, was_cut: bool = False) -> Reading:
        """Read an answer and check it.

        Args:
            text: As it came.
            was_cut: Whether it ended at its longest length; such JSON is not mended, as
                it would be cut again.
        """
        value: Any = text
        if self.step.step.output.type == "json":
            try:
                value = _json(text)
            except ValueError as error:
                return Reading(text, None, Fault("malformed", (str(error),), not was_cut))
            problems = tuple(self._shape_problems(value))
            if problems:
                return Reading(text, value, Fault("malformed", problems, not was_cut))
        failed = tuple(self._failed_checks(text, value))
        return Reading(text, value, Fault("check", failed) if failed else None, was_cut)

    def _shape_problems(self, value: object) -> Iterator[str]:
        yield from _wording(self.step.shape, value)
        for shape in self.step.checks.values():
            yield from _wording(shape, value)

    def _failed_checks(self, text: str, value: object) -> Iterator[str]:
        if not text.strip():
            yield "is empty"
        for number, check in enumerate(self.step.step.checks):
            if check.kind == "length":
                yield from _length_problems(check, len(text))
            elif check.expression is not None and not self.expression(check.expression).passes(
                output=value, text=text, input_value=self.input_value
            ):
                yield f"checks[{number}]: the expression is not true of it"


def _wording(shape: Shape | None, value: object) -> Iterator[str]:
    for path, what in shape.problems(value)[:_MAX_SHOWN_PROBLEMS] if shape is not None else ():
        yield f"{path_text(path)}: {what}" if path else what


def _length_problems(check: Check, characters: int) -> Iterator[str]:
    if check.min_characters is not None and characters < check.min_characters:
        yield f"has {characters} characters, should have at least {check.min_characters}"
    if check.max_characters is not None and characters > check.max_characters:
        yield f"has {characters} characters, should have at most {check.max_characters}"


def _json(text: str) -> Any:
    """Read JSON, also where it stands in a fence of Markdown.

    Raises:
        ValueError: It is none; says where, and quotes nothing.
    """
    bare = text.strip()
    fenced = _FENCED.match(bare)
    try:
        value = json.loads(fenced[1] if fenced else bare, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is no JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise ValueError("is no JSON that can be read: nested too deep") from None
    problem = plain_problem(value) or _unwritable(text, value)
    if problem:
        raise ValueError(problem)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"is no JSON: {name} is no number there")


def _unwritable(text: str, value: object) -> str:
    r"""Say so if a text in it is half of a character, which only ``\ud…`` can write."""
    if "\\ud" not in text.lower():
        return ""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair in a text"
    return ""
