"""A JSON Schema in the part of the language that models can be held to as they write.

Providers compile a schema to a grammar and take but a subset: OpenAI's "Structured Outputs:
supported schemas" (platform.openai.com/docs/guides/structured-outputs), which Groq, Cerebras and
others have taken over, and Anthropic's (platform.claude.com/docs, "Structured outputs", and the
official SDK's transformation of schemas). What a subset has no word for, but only narrows a
value, is said in the description: the run checks answers against the whole schema anyway.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from remora.workflows.sizes import most_tokens

ROOM_TOKENS: Final = 24
"""What descriptions may add; they are left out where they would add more."""

_MAX_DEPTH: Final = 10
_MAX_PROPERTIES: Final = 500
_MAX_VALUES: Final = 251

_DEFINED: Final = "#/$defs/"
_SHAPE: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf",
     "$ref", "$defs", "description", "title"}
)  # fmt: skip
_SAYS_NOTHING: Final = frozenset(
    {"$schema", "$id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
)
_NARROWS: Final = frozenset(
    {"minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
     "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems"}
)  # fmt: skip


class _NotHeldError(Exception):
    """The schema has something that the subset has not."""


@dataclass(frozen=True, slots=True)
class Subset:
    """What a provider takes.

    Attributes:
        narrowing: Keywords that narrow a value, of those that only do that.
        may_be_absent: How many properties of all objects together need not be required.
        may_recur: Whether definitions may refer to themselves.
        lists_types: Whether a ``type`` may be a list.
    """

    narrowing: frozenset[str] = frozenset()
    may_be_absent: int = 0
    may_recur: bool = False
    lists_types: bool = False


OPENAI: Final = Subset(
    frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems",
         "maxItems"}
    ),
    may_recur=True,
    lists_types=True,
)  # fmt: skip
BARE: Final = Subset()
"""Of providers that took over OpenAI's shapes, but not all of its keywords."""

ANTHROPIC: Final = Subset(may_be_absent=24)


def held_schema(schema: Any, subset: Subset) -> dict[str, Any] | None:
    """Put a schema into a subset.

    Args:
        schema: What answers are checked against.
        subset: What the provider takes.

    Returns:
        A schema that takes every value that `schema` takes, and maybe more; None: the subset
        has none.
    """
    holding = _Holding(subset, hints=True)
    try:
        held = holding.root(schema)
        if holding.has_hinted and _grows(schema, held):
            held = _Holding(subset, hints=False).root(schema)
    except _NotHeldError:
        return None
    return held


def _grows(schema: Any, held: Any) -> bool:
    return most_tokens(_text(held)) > most_tokens(_text(schema)) + ROOM_TOKENS


def _text(schema: Any) -> str:
    return json.dumps(schema, ensure_ascii=False)


class _Holding:
    """Goes through one schema."""

    def __init__(self, subset: Subset, *, hints: bool) -> None:
        self._subset = subset
        self._hints = hints
        self.has_hinted = False
        self._properties = 0
        self._absent = 0

    def root(self, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
            raise _NotHeldError
        held = self._part(schema, 0)
        if self._properties > _MAX_PROPERTIES or self._absent > self._subset.may_be_absent:
            raise _NotHeldError
        if not self._subset.may_recur and _recurs(held.get("$defs", {})):
            raise _NotHeldError
        return held

    def _part(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            raise _NotHeldError
        if "$ref" in schema:
            return _reference(schema)
        said = {key: value for key, value in schema.items() if key not in _SAYS_NOTHING}
        if said.keys() - _SHAPE - _NARROWS:
            raise _NotHeldError
        held = {key: value for key, value in said.items() if key in self._kept}
        self._hold_type(held)
        self._hold_object(held, depth)
        self._hold_parts(held, depth)
        self._hint(held, {key: said[key] for key in said if key not in self._kept})
        return held

    @property
    def _kept(self) -> frozenset[str]:
        return _SHAPE | self._subset.narrowing

    def _hold_type(self, held: dict[str, Any]) -> None:
        kinds = held.get("type")
        if kinds is None and not held.keys() & {"anyOf", "enum", "const"}:
            raise _NotHeldError
        if isinstance(kinds, list):
            self._hold_types(held, kinds)
        values = [held.get("const"), *held.get("enum", [])]
        if len(values) > _MAX_VALUES or any(isinstance(value, dict | list) for value in values):
            raise _NotHeldError

    def _hold_types(self, held: dict[str, Any], kinds: list[str]) -> None:
        """Take several types only where none of them has parts."""
        if set(kinds) & {"object", "array"}:
            raise _NotHeldError
        if not self._subset.lists_types:
            if "anyOf" in held:
                raise _NotHeldError
            del held["type"]
            held["anyOf"] = [{"type": kind} for kind in kinds]

    def _hold_object(self, held: dict[str, Any], depth: int) -> None:
        if held.get("type") != "object":
            if held.keys() & {"properties", "required", "additionalProperties"}:
                raise _NotHeldError
            return
        properties, required = held.get("properties"), held.get("required", [])
        if held.get("additionalProperties") is not False or not isinstance(properties, dict):
            raise _NotHeldError
        if not set(required) <= properties.keys():
            raise _NotHeldError
        self._properties += len(properties)
        self._absent += len(properties.keys() - set(required))
        held["properties"] = self._all(properties, depth)

    def _hold_parts(self, held: dict[str, Any], depth: int) -> None:
        if held.get("type") == "array":
            held["items"] = self._part(held.get("items"), depth + 1)
        elif "items" in held:
            raise _NotHeldError
        if "anyOf" in held:
            held["anyOf"] = [self._part(part, depth + 1) for part in held["anyOf"]]
        if "$defs" in held:
            held["$defs"] = self._all(held["$defs"], depth)

    def _all(self, parts: Mapping[str, Any], depth: int) -> dict[str, Any]:
        return {name: self._part(part, depth + 1) for name, part in parts.items()}

    def _hint(self, held: dict[str, Any], lost: Mapping[str, Any]) -> None:
        if lost and self._hints:
            self.has_hinted = True
            said = ", ".join(_hints(lost))
            before = held.get("description")
            held["description"] = f"{before} ({said})" if before else said


def _reference(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Take a reference to a definition; what stands beside it may only describe."""
    if schema.keys() - {"$ref", "description", "title"} - _SAYS_NOTHING:
        raise _NotHeldError
    if not str(schema["$ref"]).startswith(_DEFINED):
        raise _NotHeldError
    return {"$ref": schema["$ref"]}


def _recurs(definitions: Mapping[str, Any]) -> bool:
    """Tell whether a definition needs itself."""
    open_ones = {name: set(_references(part)) for name, part in definitions.items()}
    while ready := [name for name, needs in open_ones.items() if not needs & open_ones.keys()]:
        for name in ready:
            del open_ones[name]
    return bool(open_ones)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.removeprefix(_DEFINED)
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _references(part)


def _hints(lost: Mapping[str, Any]) -> Iterator[str]:
    for key, value in lost.items():
        yield f"{key} {value if isinstance(value, str) else json.dumps(value)}"
