"""What this release enforces. A field that nothing enforces yet is refused, not ignored.

Later releases add paths to the tables; nothing else changes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from remora.policy.problems import fields_below
from remora.policy.spec import KINDS
from remora.policy.yaml_source import Path

ENFORCED: Mapping[str, frozenset[str]] = {
    "LLMPolicy": frozenset(
        {
            "spec.selector",
            "spec.priority",
            "spec.intercept",
            "spec.opaque",
            "spec.capture",
            "spec.redaction",
            "spec.cache",
            "spec.includeUsage",
            "spec.models",
            "spec.maxRequestBody",
            "spec.requireTask",
            "spec.routes",
            "spec.breaker",
            "spec.budgets",
            "spec.rates",
            "spec.credentials",
        }
    ),
    "ClusterLLMPolicy": frozenset(
        {
            "spec.defaults.intercept",
            "spec.defaults.opaque",
            "spec.defaults.capture",
            "spec.defaults.redaction",
            "spec.defaults.cache",
            "spec.defaults.includeUsage",
            "spec.defaults.models",
            "spec.defaults.maxRequestBody",
            "spec.defaults.requireTask",
            "spec.defaults.routes",
            "spec.defaults.breaker",
            "spec.defaults.budgets",
            "spec.defaults.rates",
            "spec.defaults.credentials",
            "spec.floors.opaque",
            "spec.floors.capture",
            "spec.floors.models",
            "spec.floors.budgets",
        }
    ),
    "LLMProvider": frozenset(
        {
            "spec.hosts",
            "spec.ports",
            "spec.tls",
            "spec.dialects",
            "spec.allowInsecure",
            "spec.prices",
        }
    ),
}
"""Fields with all that is below them, by kind."""

VALUES_NOT_YET: Mapping[str, Mapping[str, str]] = {
    "spec.routes[].router.policy": {"learned": "learned routing does not exist yet"},
    "spec.defaults.routes[].router.policy": {"learned": "learned routing does not exist yet"},
}
"""Values in enforced fields that are not enforced themselves, and why; ``[]`` is every entry."""


def not_yet_supported(kind: str, document: Mapping[str, object]) -> Iterator[tuple[Path, str]]:
    """Find the fields that a document sets and this release does not enforce.

    A field without a value (an empty list or mapping, null) asks for nothing and may stand;
    unknown fields are not this function's to find.

    Args:
        kind: The document's kind; one of `ENFORCED`.
        document: As read, with fields named as in YAML.

    Yields:
        The path of each field, and what to tell the user.
    """
    yield from _below(kind, ("spec",), document.get("spec"))


def _below(kind: str, path: tuple[str, ...], value: object) -> Iterator[tuple[Path, str]]:
    if not isinstance(value, Mapping):
        return
    known = fields_below(KINDS[kind], path)
    for key, inner in value.items():
        if key in known:
            yield from _field(kind, (*path, key), inner)


def _field(kind: str, path: tuple[str, ...], value: object) -> Iterator[tuple[Path, str]]:
    text = ".".join(path)
    if text in ENFORCED[kind]:
        yield from _values_not_yet(path, text, value)
    elif any(field.startswith(text + ".") for field in ENFORCED[kind]):
        yield from _below(kind, path, value)
    elif value not in (None, [], {}):
        yield path, "not supported yet: nothing enforces it in this release, so remove it"


def _values_not_yet(path: Path, text: str, value: object) -> Iterator[tuple[Path, str]]:
    """Find such values in a field, and in all that is below it."""
    for pattern, reasons in VALUES_NOT_YET.items():
        below = pattern.removeprefix(text)
        if below == pattern or below[:1] not in ("", ".", "["):
            continue
        for where, found in _found(tuple(path), _STEP.findall(below), value):
            reason = reasons.get(found) if isinstance(found, str) else None
            if reason is not None:
                yield where, f"{found!r} is not supported yet: {reason}"


_STEP = re.compile(r"[^.\[\]]+|\[\]")


def _found(
    path: tuple[str | int, ...], steps: Sequence[str], value: object
) -> Iterator[tuple[Path, object]]:
    """Go through what stands where steps lead from a value."""
    if not steps:
        yield path, value
    elif steps[0] == "[]" and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _found((*path, index), steps[1:], entry)
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _found((*path, steps[0]), steps[1:], value[steps[0]])
