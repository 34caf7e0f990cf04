"""JSON Schemas (2020-12) of inputs and answers: which may be used, and what fits them.

A schema refers only to itself, so that nothing is fetched; its regular expressions are RE2's, so
that no text takes long; and what it says of one value is bounded, so that no schema does.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from remora.policy.regexes import regex_problem
from remora.workflows.model import MAX_DEPTH, plain_problem

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

type Path = tuple[str | int, ...]
type Found = tuple[Path, str]
"""Where something is wrong, and what."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_WEIGHT = 10_000
"""Schemas that one value may have to be held against, each as often as it is referred to."""

MAX_FINDINGS = 20
"""Said of one value; a model that is to mend its answer does not need more."""

_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_REFUSED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPPINGS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
_SCHEMAS = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
)
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("not", "if", "then", "else")
"""What is held against the same value as the schema around it."""


def schema_problems(schema: object) -> list[Found]:
    """Find everything that keeps a schema from being used, and where in it."""
    unfit = plain_problem(schema)
    if unfit:
        return [((), unfit)]
    if not isinstance(schema, dict):
        return [((), "should be a JSON Schema: a mapping with type, properties and so on")]
    found = [(tuple(error.absolute_path), _flaw(error)) for error in _metaschema_errors(schema)]
    if found:
        return found
    for path, inner in subschemas(schema):
        found.extend(_own_problems(schema, path, inner))
    return found or list(_weight_problems(schema))


def _metaschema_errors(schema: object) -> Iterator["ValidationError"]:
    from jsonschema import Draft202012Validator

    yield from Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)


def _flaw(error: "ValidationError") -> str:
    if error.validator == "anyOf" and list(error.absolute_path)[-1:] == ["type"]:
        return f"should be one of {', '.join(sorted(_TYPES))}, or a list of them"
    return wording(error)


def subschemas(schema: object, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give a schema and every schema in it, with where they stand."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword in _SCHEMAS:
        yield from subschemas(schema.get(keyword), (*path, keyword))
    for keyword in _LISTS_OF_SCHEMAS:
        for number, inner in enumerate(schema.get(keyword, ())):
            yield from subschemas(inner, (*path, keyword, number))
    for keyword in (*_MAPPINGS_OF_SCHEMAS, "dependentSchemas"):
        for name, inner in schema.get(keyword, {}).items():
            yield from subschemas(inner, (*path, keyword, name))


def _own_problems(root: dict[str, Any], path: Path, schema: dict[str, Any]) -> Iterator[Found]:
    if schema.get("$schema", DIALECT).rstrip("#") != DIALECT:
        yield (*path, "$schema"), f"should be {DIALECT}, or be left out"
    for keyword in _REFUSED:
        if keyword in schema:
            yield (*path, keyword), "is not supported: refer by '#/$defs/...'"
    reference = schema.get("$ref")
    if reference is not None and target(root, reference) is None:
        yield (*path, "$ref"), "leads nowhere: should be '#' or '#/$defs/...' within the schema"
    patterns: list[Found] = [(("pattern",), schema["pattern"])] if "pattern" in schema else []
    for regex in schema.get("patternProperties", ()):
        patterns.append((("patternProperties", regex), regex))
    for where, regex in patterns:
        problem = regex_problem(regex)
        if problem:
            yield (*path, *where), problem


def target(root: object, reference: str) -> object:
    """Return what a reference such as ``#/$defs/Point`` leads to; None if nothing."""
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if isinstance(found, dict | bool) else None


def _weight_problems(root: dict[str, Any]) -> Iterator[Found]:
    weights: dict[int, int] = {}

    def weight(schema: object, above: tuple[int, ...]) -> int:
        """Count the schemas that are held against one value; 0 or less: it goes in a circle."""
        if not isinstance(schema, dict):
            return 1
        if id(schema) in above or len(above) > MAX_DEPTH:
            return MAX_WEIGHT + 1
        if id(schema) not in weights:
            inner = sum(weight(s, (*above, id(schema))) for s in in_place(root, schema))
            weights[id(schema)] = min(inner + 1, MAX_WEIGHT + 1)
        return weights[id(schema)]

    for path, schema in subschemas(root):
        if weight(schema, ()) > MAX_WEIGHT:
            yield path, "refers to itself for the same value, or to too many schemas"
            return


def in_place(root: object, schema: Mapping[str, Any]) -> Iterator[object]:
    """Give the schemas that are held against the same value as a schema."""
    if "$ref" in schema:
        yield target(root, schema["$ref"])
    for keyword in _IN_PLACE_LISTS:
        yield from schema.get(keyword, ())
    for keyword in _IN_PLACE:
        if keyword in schema:
            yield schema[keyword]
    yield from schema.get("dependentSchemas", {}).values()


class Shape:
    """A schema that was checked, ready to hold values against it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Prepare a schema without problems (`schema_problems`)."""
        from referencing import Registry

        self.schema = schema
        self._validator = _validator_class()(schema, registry=Registry())

    def problems(self, value: object) -> list[Found]:
        """Find where a plain value does not fit, at most `MAX_FINDINGS` places.

        No text of the value is quoted: it may be anybody's.
        """
        unfit = plain_problem(value)
        if unfit:
            return [((), unfit)]
        found: list[Found] = []
        for error in self._validator.iter_errors(value):
            found.append((tuple(error.absolute_path), wording(error)))
            if len(found) == MAX_FINDINGS:
                break
        return found


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, validators

    changed = {"pattern": _pattern, "patternProperties": _pattern_properties}
    return validators.extend(Draft202012Validator, changed)


@cache
def _search(regex: str) -> Callable[[str], object]:
    import re2

    options = re2.Options()
    options.log_errors = False
    search: Callable[[str], object] = re2.compile(regex, options).search
    return search


def _pattern(validator: Any, regex: str, instance: object, schema: object) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    del schema
    if validator.is_type(instance, "string") and not _search(regex)(str(instance)):
        yield ValidationError("does not match")


def _pattern_properties(
    validator: Any, properties: Mapping[str, Any], instance: Any, schema: object
) -> Iterator[Any]:
    del schema
    if not validator.is_type(instance, "object"):
        return
    for regex, inner in properties.items():
        for key, value in instance.items():
            if _search(regex)(key):
                yield from validator.descend(value, inner, path=key, schema_path=regex)


def wording(error: "ValidationError") -> str:
    """Say what a value should be, without quoting any of it."""
    keyword, said = str(error.validator), error.validator_value
    if keyword == "required":
        return f"lacks {error.message.partition(' is a required')[0]}"
    if keyword == "type":
        return f"should be {said if isinstance(said, str) else ' or '.join(map(str, said))}"
    text = _WORDS.get(keyword)
    if text is None:
        return f"breaks {keyword} of its schema"
    shown = json.dumps(said, ensure_ascii=False) if "{}" in text else ""
    return text.replace("{}", shown if len(shown) <= 200 else shown[:199] + "…")


_WORDS = {
    "additionalProperties": "has fields that its schema does not know",
    "unevaluatedProperties": "has fields that its schema does not know",
    "anyOf": "fits none of the alternatives of its schema",
    "oneOf": "should fit exactly one of the alternatives of its schema",
    "not": "should not fit what its schema excludes",
    "const": "should be {}",
    "enum": "should be one of {}",
    "minLength": "should have at least {} characters",
    "maxLength": "should have at most {} characters",
    "minItems": "should have at least {} items",
    "maxItems": "should have at most {} items",
    "minProperties": "should have at least {} fields",
    "maxProperties": "should have at most {} fields",
    "minimum": "should be at least {}",
    "maximum": "should be at most {}",
    "exclusiveMinimum": "should be more than {}",
    "exclusiveMaximum": "should be less than {}",
    "multipleOf": "should be a multiple of {}",
    "pattern": "should match {}",
    "uniqueItems": "should have no item twice",
}
