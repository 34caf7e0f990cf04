"""What lies where in values that a JSON Schema describes: asked of references before a run.

A walk is lenient where a schema is: what a schema does not exclude may be there. It is strict in
one point, for the sake of slips of the pen: an object whose schema names properties, and does not
say that it has others, has no others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from remora.policy.problems import nearest
from remora.workflows.schemas import target

MAX_ALTERNATIVES = 64
"""Of one place; with more of them nothing is said about it."""

TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})

type Conjunction = tuple[Mapping[str, Any], ...]
"""Schemas that all hold."""


@dataclass(frozen=True)
class Place:
    """What is known of a place in a value.

    Attributes:
        root: The whole schema, for references.
        alternatives: Of which one holds; none: nothing is known, so it may be anything.
        optional: Whether there may be nothing.
    """

    root: object
    alternatives: tuple[Conjunction, ...] = ()
    optional: bool = False

    @property
    def types(self) -> frozenset[str]:
        """The JSON types that a value may have there."""
        if not self.alternatives:
            return TYPES
        return frozenset().union(*(_types(conjunction) for conjunction in self.alternatives))

    @property
    def max_items(self) -> int | None:
        """The most items a list may have there; None if nothing says so."""
        return self._limit("maxItems")

    @property
    def max_characters(self) -> int | None:
        """The most characters a text may have there; None if nothing says so."""
        return self._limit("maxLength") if self.types == {"string"} else None

    def _limit(self, keyword: str) -> int | None:
        said = [_least_of(conjunction, keyword) for conjunction in self.alternatives]
        known = [limit for limit in said if limit is not None]
        return max(known) if known and len(known) == len(said) else None


@dataclass(frozen=True)
class Nowhere:
    """There is no such place.

    Attributes:
        what: Why, for the author.
    """

    what: str


def place_of(schema: object) -> Place:
    """Begin a walk at the root of a schema; None describes anything."""
    return _place(schema, schema)


def items_of(place: Place) -> Place:
    """Give what is known of the items of a list."""
    below = below_place(place, 0)
    return below if isinstance(below, Place) else Place(place.root)


def walk(place: Place, path: tuple[str | int, ...]) -> Place | Nowhere:
    """Go down a path from a place."""
    for step in path:
        found = below_place(place, step)
        if isinstance(found, Nowhere):
            return found
        place = Place(found.root, found.alternatives, found.optional or place.optional)
    return place


def below_place(place: Place, step: str | int) -> Place | Nowhere:
    """Take one step down; lists have indexes, all else has keys."""
    if not place.alternatives:
        return Place(place.root)
    answers = [_below(place.root, alternative, step) for alternative in place.alternatives]
    found = [answer for answer in answers if isinstance(answer, Place)]
    if not found:
        return next(answer for answer in answers if isinstance(answer, Nowhere))
    optional = len(found) < len(answers) or any(answer.optional for answer in found)
    if not all(answer.alternatives for answer in found):
        return Place(place.root, (), optional)
    return Place(place.root, tuple(a for f in found for a in f.alternatives), optional)


def _place(root: object, schema: object, *, optional: bool = False) -> Place:
    if not isinstance(schema, dict):
        return Place(root, (), optional)
    alternatives = _alternatives(root, schema, ())
    if len(alternatives) > MAX_ALTERNATIVES:
        alternatives = []
    return Place(root, tuple(alternatives), optional)


def _alternatives(
    root: object, schema: Mapping[str, Any], above: tuple[int, ...]
) -> list[Conjunction]:
    """Resolve references and combinations into alternatives of schemas that all hold."""
    if id(schema) in above:
        return [()]
    above = (*above, id(schema))
    parts: list[list[Conjunction]] = [[(schema,)]]
    for inner in _all_of(root, schema):
        parts.append(_alternatives(root, inner, above))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            branches = [s for s in schema[keyword] if isinstance(s, dict)]
            parts.append([c for branch in branches for c in _alternatives(root, branch, above)])
    size = 1
    for part in parts:
        size *= max(1, len(part))
    if size > MAX_ALTERNATIVES:
        return [()] * (MAX_ALTERNATIVES + 1)
    return [tuple(s for chosen in choice for s in chosen) for choice in product(*parts)]


def _all_of(root: object, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    referred = [target(root, schema["$ref"])] if "$ref" in schema else []
    for inner in (*referred, *schema.get("allOf", ())):
        if isinstance(inner, dict):
            yield inner


def _types(conjunction: Conjunction) -> frozenset[str]:
    types = TYPES
    for schema in conjunction:
        types = types & _said_types(schema)
    return types


def _said_types(schema: Mapping[str, Any]) -> frozenset[str]:
    said = schema.get("type")
    if said is not None:
        names = [said] if isinstance(said, str) else said
        return frozenset("number" if name == "integer" else name for name in names)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        return frozenset(map(_type_of, values))
    return TYPES


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "number")


def _least_of(conjunction: Conjunction, keyword: str) -> int | None:
    said = [schema[keyword] for schema in conjunction if keyword in schema]
    return min(map(int, said), default=None)


def _below(root: object, conjunction: Conjunction, step: str | int) -> Place | Nowhere:
    types = _types(conjunction)
    if isinstance(step, int) and "array" in types:
        return _item(root, conjunction, step)
    if "object" not in types:
        name = f"item {step}" if isinstance(step, int) else repr(step)
        return Nowhere(f"{name} is asked of what is {_or(types)}")
    return _member(root, conjunction, str(step))


def _or(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "nothing"


def _item(root: object, conjunction: Conjunction, step: int) -> Place | Nowhere:
    limit = _least_of(conjunction, "maxItems")
    if limit is not None and step >= limit:
        return Nowhere(f"there is no item {step}: the list has at most {limit}")
    for schema in conjunction:
        first = schema.get("prefixItems", ())
        if step < len(first):
            return _place(root, first[step])
        if "items" in schema:
            return _place(root, schema["items"])
    return Place(root)


def _member(root: object, conjunction: Conjunction, name: str) -> Place | Nowhere:
    required = any(name in schema.get("required", ()) for schema in conjunction)
    known: set[str] = set()
    for schema in conjunction:
        properties = schema.get("properties", {})
        known.update(properties)
        if name in properties:
            has_default = isinstance(properties[name], dict) and "default" in properties[name]
            return _place(root, properties[name], optional=not (required or has_default))
    closed = any(_is_closed(schema) for schema in conjunction)
    if closed and not required:
        return Nowhere(f"no field {name!r} is in the schema{nearest(name, sorted(known))}")
    others = [s["additionalProperties"] for s in conjunction if "additionalProperties" in s]
    return _place(root, others[0] if others else None, optional=not required)


def _is_closed(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema's properties are all there are."""
    if schema.get("patternProperties"):
        return False
    said = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
    return said is False or (said is None and bool(schema.get("properties")))
