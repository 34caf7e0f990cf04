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
            "spec.cache",
            "spec.includeUsage",
        }
    ),
    "ClusterLLMPolicy": frozenset(
        {
            "spec.defaults.intercept",
            "spec.defaults.opaque",
            "spec.defaults.capture",
            "spec.defaults.cache",
            "spec.defaults.includeUsage",
            "spec.floors.opaque",
            "spec.floors.capture",
        }
    ),
    "LLMProvider": frozenset({"spec.hosts", "spec.ports", "spec.tls", "spec.dialects"}),
}
"""Fields with all that is below them, by kind."""

VALUES_NOT_YET: Mapping[str, Mapping[str, str]] = {
    "spec.capture": {"redacted": "redaction rules do not exist yet"},
    "spec.defaults.capture": {"redacted": "redaction rules do not exist yet"},
    "spec.floors.capture": {"redacted": "redaction rules do not exist yet"},
}
"""Values of enforced fields that are not enforced themselves, and why."""


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
        yield from _value_not_yet(path, text, value)
    elif any(field.startswith(text + ".") for field in ENFORCED[kind]):
        yield from _below(kind, path, value)
    elif value not in (None, [], {}):
        yield path, "not supported yet: nothing enforces it in this release, so remove it"


def _value_not_yet(path: Path, text: str, value: object) -> Iterator[tuple[Path, str]]:
    reasons = VALUES_NOT_YET.get(text, {})
    reason = reasons.get(value) if isinstance(value, str) else None
    if reason is not None:
        yield path, f"{value!r} is not supported yet: {reason}"
