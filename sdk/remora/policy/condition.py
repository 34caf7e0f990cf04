"""Conditions: CEL over a call. Checked and compiled once, asked for every call.

The CEL library is Google's own (C++); it loads with the first condition, so that documents
without any never need it. It holds the interpreter while it runs: `condition_limits` says what
keeps that short.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from remora.errors import RemoraError
from remora.policy.condition_fields import MEMBERS, NOW, PACKAGE, type_pool
from remora.policy.condition_limits import Reading
from remora.policy.condition_wording import describe_compile_problem, describe_failure
from remora.policy.model import MAX_CONDITION_CHARACTERS

if TYPE_CHECKING:
    from cel_expr_python import cel

_LIBRARY_RAISES: Final = (RuntimeError, ValueError, TypeError, MemoryError, OverflowError)
_NOT_PLAIN = re.compile("[\0\ud800-\udfff]")


class ConditionError(RemoraError):
    """It could not be told whether a condition holds for a call; it counts as false."""


class BoundInputs:
    """What conditions look at, given to the CEL library once for all conditions of a call."""

    __slots__ = ("activation",)

    def __init__(self, inputs: Mapping[str, object]) -> None:
        """Bind the variables; they should not change afterwards.

        Raises:
            ConditionError: A variable has a value that CEL does not know.
        """
        try:
            self.activation: Any = _environments().running.Activation(dict(inputs))
        except _LIBRARY_RAISES:
            raise ConditionError("an input has a value that CEL does not know") from None


class Condition:
    """A compiled expression; immutable, equal to another of the same text.

    Attributes:
        text: As written.
        needs: Members of ``request`` that it reads.
    """

    __slots__ = ("_program", "needs", "text")

    def __init__(self, text: str, needs: frozenset[str], program: "cel.Expression") -> None:
        """Keep what `compile` made."""
        self.text = text
        self.needs = needs
        self._program = program

    @classmethod
    def compile(cls, text: str) -> Self:
        """Check and compile an expression.

        Raises:
            ValueError: It is no expression that is true or false of a call, or may cost too
                much; the message is for its author.
        """
        if len(text) > MAX_CONDITION_CHARACTERS or _NOT_PLAIN.search(text):
            raise ValueError(
                f"should be at most {MAX_CONDITION_CHARACTERS} characters of Unicode text"
            )
        environments = _environments()
        try:
            checked = environments.checking.compile(text)
            kind = checked.return_type().name().lower()
            serialized = checked.serialize()
            program = environments.running.compile(text)
        except _LIBRARY_RAISES as error:
            raise ValueError(describe_compile_problem(str(error))) from None
        if kind != "bool":
            raise ValueError(f"should be true or false, not {kind}")
        reading = Reading(serialized)
        for pattern in sorted(reading.patterns):
            _check_pattern(pattern)
        needs = frozenset(name for variable, name in reading.members if variable == "request")
        return cls(text, needs, program)

    def holds(self, inputs: Mapping[str, object] | BoundInputs) -> bool:
        """Tell whether it is true of a call.

        Args:
            inputs: Values of the variables; members of ``request`` that `needs` does not
                name may be left out. Bound once, they serve many conditions.

        Raises:
            ConditionError: It is neither true nor false: it asks for what the call has not.
                The message holds nothing of the call.
        """
        bound = inputs if isinstance(inputs, BoundInputs) else BoundInputs(inputs)
        try:
            value: object = self._program.eval(bound.activation).value()
        except _LIBRARY_RAISES as error:
            raise ConditionError(describe_failure(str(error), self.text)) from None
        if value is True or value is False:
            return value
        raise ConditionError(describe_failure(str(value), self.text))

    def __str__(self) -> str:
        """Return the expression as written."""
        return self.text

    def __repr__(self) -> str:
        """Show the expression."""
        return f"Condition({self.text!r})"

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)


class _Environments(NamedTuple):
    """Two, since the library checks members of typed objects only, and evaluates mappings."""

    checking: "cel.Env"
    running: "cel.Env"
    patterns: "cel.Expression"


@cache
def _environments() -> _Environments:
    try:
        from cel_expr_python import cel
    except ImportError:
        raise ValueError(
            "conditions need the package cel-expr-python: install remora[sidecar]"
        ) from None
    typed = {name: cel.Type(f"{PACKAGE}.{name}") for name in MEMBERS}
    untyped = dict.fromkeys(MEMBERS, cel.Type.DYN)
    now = {NOW: cel.Type.TIMESTAMP}
    return _Environments(
        checking=cel.NewEnv(descriptor_pool=type_pool(), variables=typed | now),
        running=cel.NewEnv(variables=untyped | now),
        patterns=cel.NewEnv(variables={"p": cel.Type.STRING}).compile("''.matches(p)"),
    )


def _check_pattern(pattern: str) -> None:
    found: object = _environments().patterns.eval(data={"p": pattern}).value()
    if not isinstance(found, bool):
        reason = str(found).rpartition("invalid regular expression: ")[2]
        raise ValueError(f"{pattern!r} is no regular expression: {reason}")
