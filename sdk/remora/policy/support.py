"""What this release enforces. A field that nothing enforces yet is refused, not ignored.

Later releases add paths to the tables; nothing else changes.
"""

from collections.abc import Iterator, Mapping

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
            "spec.signals",
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
            "spec.defaults.signals",
            "spec.learning",
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
        return
    if any(field.startswith(text + ".") for field in ENFORCED[kind]):
        yield from _below(kind, path, value)
    elif value not in (None, [], {}):
        yield path, "not supported yet: nothing enforces it in this release, so remove it"
