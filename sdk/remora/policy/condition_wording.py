"""What the CEL library says, in words for an author of policies."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from remora.policy.condition_fields import MEMBERS, MESSAGE_MEMBERS, VARIABLES
from remora.policy.problems import nearest

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS = re.compile(r"[A-Z_]+: (.*) \[[A-Z_]+\]")
_UNDEFINED_FIELD = re.compile(r"undefined field '([^']*)' not found in struct 'remora\.(\w+)'")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_NO_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_EXPECTED = re.compile(r",? expecting \{.*")
_MISSING_KEY = re.compile(r'Key not found in map : "([^"]*)"')

_TOO_DEEP: Final = ("recursion",)

_FAILURES: Final = (
    ("Iteration budget", "its macros take more than 10,000 steps"),
    ("NOT_FOUND", "it asks for what this call has not"),
    ("Index error", "it asks for an element past the end of a list"),
    ("No such key", "it asks for what this call has not"),
    ("divide by zero", "it divides by zero"),
    ("modulus by zero", "it divides by zero"),
    ("OUT_OF_RANGE", "a number or time in it is out of range"),
    ("bad_alloc", "it takes too much memory"),
    ("No matching overloads", "a function in it does not take a value that this call has"),
    ("conver", "a text or number in it can't be turned into what it asks for"),
    ("map key type", "a value that this call has can't be a key"),
    ("Unexpected value", "an input has a value of the wrong kind"),
    ("Non-CEL value", "an input has a value of the wrong kind"),
)
"""Parts of what the library says of an evaluation, and what to say: its own words may quote
prompts."""


def describe_compile_problem(said: str) -> str:
    """Say what is wrong with an expression, and where in it."""
    if any(word in said for word in _TOO_DEEP):
        return "nested deeper than 32 levels"
    found = _ERROR.search(said)
    if found is None:
        said_alone = _STATUS.fullmatch(said)
        return said_alone[1] if said_alone is not None else "no CEL expression"
    line, column, what = int(found[1]), int(found[2]), found[3]
    where = f" at column {column}" + (f" of line {line}" if line > 1 else "")
    return _what(what) + (where if column > 0 else "")


def describe_failure(said: str, text: str) -> str:
    """Say why an expression is neither true nor false, without a word of the call.

    Args:
        said: The library's message, or the value that was to be true or false.
        text: The expression.
    """
    missing = _MISSING_KEY.search(said)
    if missing is not None and missing[1] in text:
        return f"it asks for {missing[1]!r}, which this call has not: test it with has()"
    return next((words for part, words in _FAILURES if part in said), "it can't be told")


def _what(said: str) -> str:
    for pattern, describe in _WORDINGS.items():
        found = pattern.search(said)
        if found is not None:
            return describe(found)
    return _EXPECTED.sub("", said)


def _undefined_field(found: re.Match[str]) -> str:
    known = MEMBERS.get(found[2], MESSAGE_MEMBERS)
    return f"{found[2]!r} has no member {found[1]!r}{nearest(found[1], list(known))}"


def _undeclared(found: re.Match[str]) -> str:
    hint = nearest(found[1], VARIABLES).replace("known are", "variables are")
    return f"no variable or function {found[1]!r}{hint}"


def _no_overload(found: re.Match[str]) -> str:
    kinds = found[2].replace("remora.", "")
    return f"{found[1].strip('_@') or found[1]!r} does not take {kinds}"


_WORDINGS: Final[Mapping[re.Pattern[str], Callable[[re.Match[str]], str]]] = {
    _UNDEFINED_FIELD: _undefined_field,
    _UNDECLARED: _undeclared,
    _NO_OVERLOAD: _no_overload,
}
