"""Conditions of steps: JSONLogic, checked before a run and bounded while it is asked.

The engine is the library datalogic-py, which passes the public tests of jsonlogic.com, counts the
operations of a rule and stops it, and says what a rule reads. Only JSONLogic's own operators are
there: none that asks for the time, throws or matches patterns.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from remora.workflows.model import plain_problem
from remora.workflows.templates import Reference

if TYPE_CHECKING:
    from datalogic_py import Engine, Rule

MAX_OPERATIONS = 200_000
"""Of one evaluation: some milliseconds."""

_RAISES = (RuntimeError, ValueError, TypeError, OverflowError)


class ConditionError(ValueError):
    """It could not be told whether a condition holds; says nothing of the data."""


@dataclass(frozen=True)
class Condition:
    """A compiled condition.

    Attributes:
        rule: As written.
        references: What it reads.
    """

    rule: Any
    references: tuple[Reference, ...]
    _compiled: "Rule" = field(repr=False, compare=False)

    def holds(self, data: Mapping[str, object]) -> bool:
        """Tell whether it is true of what a run knows: ``goal``, ``input``, ``steps``.

        Truth is JSONLogic's: false are ``false``, ``null``, 0, empty text, lists
        and mappings.

        Raises:
            ConditionError: It asks for what makes no sense, or for too much work.
        """
        return is_true(self.value(data))

    def value(self, data: Mapping[str, object]) -> object:
        """Evaluate.

        Raises:
            ConditionError: As `holds`.
        """
        try:
            text, _ = self._compiled.evaluate_metered(json.dumps(data), MAX_OPERATIONS)
        except Exception as error:
            if not _is_of_library(error):
                raise
            raise ConditionError(_failure(error)) from None
        return json.loads(text)


def is_true(value: object) -> bool:
    """Tell whether a value counts as true, as the library has it."""
    return bool(value)


def compile_condition(rule: object) -> Condition:
    """Check and compile a rule.

    Raises:
        ValueError: It is no rule; the message is for its author.
    """
    problem = plain_problem(rule)
    if problem:
        raise ValueError(problem)
    text = json.dumps(rule)
    found = _engine().check(text, "strict")
    errors = [_said(entry) for entry in found if entry["severity"] == "error"]
    if errors:
        raise ValueError("; ".join(errors))
    compiled = _engine().compile(text)
    facts = compiled.facts()
    if facts["computed_reads"]:
        raise ValueError("what var, missing and missing_some name should be written out as text")
    return Condition(rule, tuple(_references(facts["reads"])), compiled)


def constant_value(condition: Condition) -> bool | None:
    """Tell whether a condition is the same for all data; None if it reads any."""
    return None if condition.references else condition.holds({})


def _said(entry: Mapping[str, Any]) -> str:
    where = entry["pointer"]
    return f"{where}: {entry['message']}" if where else str(entry["message"])


def _references(reads: list[list[str]]) -> Iterator[Reference]:
    for path in reads:
        if not path:
            raise ValueError("reads everything: name what it should read, as in steps.plan.output")
        yield Reference(path[0], tuple(int(s) if s.isdecimal() else s for s in path[1:]))


@cache
def _engine() -> "Engine":
    try:
        from datalogic_py import Engine
    except ModuleNotFoundError:
        raise ValueError("conditions need datalogic-py: install remora[workflows]") from None
    # `log` gives back what it is given, as JSONLogic says; nothing is written anywhere.
    operators = {"log": lambda arguments: json.dumps(next(iter(json.loads(arguments)), None))}
    config = {"ops_budget": MAX_OPERATIONS, "truthy_evaluator": "javascript"}
    return Engine(families=[], custom_operators=operators, config=config)


def _is_of_library(error: Exception) -> bool:
    from datalogic_py import DataLogicError

    return isinstance(error, (DataLogicError, *_RAISES))


def _failure(error: Exception) -> str:
    """Say what failed without what the library says of values."""
    kind = getattr(error, "error_type", "")
    operator = getattr(error, "operator", None)
    where = f" in {operator}" if operator else ""
    if kind == "BudgetExceeded":
        return f"does too much work{where}"
    if kind in ("Thrown", "TypeError", "ArithmeticError"):
        return f"reckons with what is no number{where}"
    return f"can't be evaluated{where}"
