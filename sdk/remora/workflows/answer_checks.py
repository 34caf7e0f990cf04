"""Custom checks of answers: CEL over an answer, bounded as conditions of policies are."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from remora.policy.condition_limits import Reading
from remora.policy.condition_wording import describe_compile_problem
from remora.policy.regexes import regex_problem

if TYPE_CHECKING:
    from cel_expr_python import cel

_RAISES = (RuntimeError, ValueError, TypeError, MemoryError, OverflowError)
_UNKNOWN = re.compile("no variable or function ('[^']*')")


class AnswerCheck:
    """A compiled expression over ``output``, ``text`` and ``input``."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        """Compile an expression.

        Raises:
            ValueError: It is none that is true or false, or may cost too much.
        """
        self.text = text
        try:
            program = _environment().compile(text)
            kind = program.return_type().name().lower()
            serialized = program.serialize()
        except _RAISES as error:
            raise ValueError(_problem(str(error))) from None
        if kind not in ("bool", "dyn"):
            raise ValueError(f"should be true or false, not {kind}")
        for pattern in sorted(Reading(serialized).patterns):
            if problem := regex_problem(pattern):
                raise ValueError(problem)
        self._program: Any = program

    def passes(self, *, output: object, text: str, input_value: object) -> bool:
        """Tell whether an answer passes; one that it can't be asked of does not.

        Args:
            output: The answer: text, or the value of its JSON.
            text: The answer as it came.
            input_value: The workflow's input.
        """
        data = {"output": output, "text": text, "input": input_value}
        try:
            found: object = self._program.eval(data=data).value()
        except _RAISES:
            return False
        return found is True


def _problem(said: str) -> str:
    unknown = _UNKNOWN.match(text := describe_compile_problem(said))
    if unknown is None:
        return text
    return f"no variable or function {unknown[1]}; variables are input, output and text"


@cache
def _environment() -> "cel.Env":
    try:
        from cel_expr_python import cel
    except ImportError:
        raise ValueError(
            "checks of kind cel need the package cel-expr-python: install remora[workflows]"
        ) from None
    kinds = {"output": cel.Type.DYN, "text": cel.Type.STRING, "input": cel.Type.DYN}
    return cel.NewEnv(variables=kinds)
