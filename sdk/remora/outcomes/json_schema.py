"""JSON Schema with bounds: for schemas of a policy and documents that models wrote.

The library's own keywords do the work, but for those that take other than linear time: patterns
are RE2's, and what has to be unique is counted, not compared. A step is counted for each keyword,
so that neither a schema that refers to itself nor a document of many pieces takes for ever. What
is loaded for it is loaded at the first schema.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any, Final

MAX_STEPS: Final = 20_000
"""Keywords that are looked at for one document: some 20 ms."""

MAX_SCHEMA_CHARACTERS: Final = 16_384

_INSTALL: Final = "can't be checked without the jsonschema library: install remora[sidecar]"
_REFUSED: Final = ("patternProperties", "$dynamicRef", "$recursiveRef")
"""Keywords whose cost nobody can bound."""

_DIALECT: Final = "$schema"
_TAKEN_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_steps: ContextVar[list[int]] = ContextVar("steps")


class TooMuch(Exception):
    """A document can't be judged within the bounds."""


class JsonSchema:
    """One schema, compiled; equal to another of the same text."""

    __slots__ = ("_validator", "text")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema.

        Raises:
            ValueError: It is none, is too long or asks for what is not checked here.
        """
        self.text = json.dumps(schema, sort_keys=True)
        if problem := _problem(schema, self.text):
            raise ValueError(problem)
        # With its dialect named the library would go on with a validator of its own, unbounded.
        own = {name: value for name, value in schema.items() if name != _DIALECT}
        self._validator = _validator_class()(own)

    def takes(self, document: object) -> bool:
        """Tell whether a document is as the schema says.

        Raises:
            TooMuch: That can't be told within the bounds.
        """
        token = _steps.set([MAX_STEPS])
        try:
            return bool(self._validator.is_valid(document))
        except RecursionError as error:
            raise TooMuch from error
        finally:
            _steps.reset(token)

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, JsonSchema) and other.text == self.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)


def schema_problem(schema: Mapping[str, Any]) -> str:
    """Say why a schema can't be used; empty if it can."""
    try:
        JsonSchema(schema)
    except ValueError as error:
        return str(error)
    return ""


def _problem(schema: Mapping[str, Any], text: str) -> str:
    if len(text) > MAX_SCHEMA_CHARACTERS:
        return f"has {len(text)} characters; at most {MAX_SCHEMA_CHARACTERS} are taken"
    try:
        from jsonschema.exceptions import SchemaError
    except ModuleNotFoundError:
        return _INSTALL
    if problem := next(_unusable(schema), ""):
        return problem
    try:
        _validator_class().check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        return f"is no JSON Schema: {where or 'it'} is not as its keyword asks"
    except RecursionError:
        return "is nested too deeply"
    return ""


def _unusable(schema: Mapping[str, Any]) -> Iterator[str]:
    """Find what a valid schema may say, but not here."""
    if schema.get(_DIALECT, _TAKEN_DIALECT) != _TAKEN_DIALECT:
        yield f"$schema may only be {_TAKEN_DIALECT}"
    waiting: list[object] = list(schema.values())
    yield from _unusable_keywords(schema, schema)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get(_DIALECT), str):
                yield "$schema may only stand at the top"
            yield from _unusable_keywords(node, schema)
            waiting.extend(node.values())
        elif isinstance(node, list | tuple):
            waiting.extend(node)


def _unusable_keywords(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    from remora.policy.regexes import regex_problem

    for name in _REFUSED:
        if name in node:
            yield f"{name} is not taken: its cost can't be bounded"
    reference, pattern = node.get("$ref"), node.get("pattern")
    if isinstance(reference, str) and not _points_into(schema, reference):
        yield "$ref may only point to what stands in the same schema, as in #/$defs/name"
    if isinstance(pattern, str) and (problem := regex_problem(pattern)):
        yield f"pattern {problem}"


def _points_into(schema: Mapping[str, Any], reference: str) -> bool:
    """Tell whether a reference is a JSON pointer to an object of the schema."""
    start, *steps = reference.split("/")
    node: object = schema
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, Mapping) and name in node:
            node = node[name]
        else:
            return False
    return start == "#" and isinstance(node, Mapping | bool)


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    changed = {"pattern": _pattern, "uniqueItems": _unique_items}
    known = {**Draft202012Validator.VALIDATORS, **changed}
    counted = {name: _counted(keyword) for name, keyword in known.items()}
    return extend(Draft202012Validator, counted)


_Keyword = Callable[..., Any]


def _counted(keyword: _Keyword) -> _Keyword:
    def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        steps = _steps.get(None)
        if steps is not None:  # None while a schema itself is checked
            steps[0] -= 1
            if steps[0] < 0:
                raise TooMuch
        return keyword(validator, value, instance, schema)

    return counting


def _pattern(_: Any, pattern: str, instance: object, __: Any) -> Iterator[Any]:
    if isinstance(instance, str) and _compiled(pattern).search(instance) is None:
        yield _mismatch("pattern")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    import re2

    return re2.compile(pattern)


def _unique_items(_: Any, wanted: bool, instance: object, __: Any) -> Iterator[Any]:
    if wanted and isinstance(instance, list):
        written = {json.dumps(item, sort_keys=True) for item in instance}
        if len(written) < len(instance):
            yield _mismatch("uniqueItems")


def _mismatch(keyword: str) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(keyword)
