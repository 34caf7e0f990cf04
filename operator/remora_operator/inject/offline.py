"""Injection of whole documents, as the webhook would inject the pods made of them. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from remora_operator.inject.config import InjectionConfig, Namespace
from remora_operator.inject.injection import inject
from remora_operator.inject.layout import INJECT_LABEL
from remora_operator.inject.outcome import Decision, Injection, Operation, Warned, WarningKind
from remora_operator.inject.patch import applied
from remora_operator.inject.templates import FoundPod, find_pods


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one pod or template.

    Attributes:
        found: Where it stands.
        decision: What was decided.
        operations: The patch of the document.
    """

    found: FoundPod
    decision: Decision
    operations: tuple[Operation, ...] = ()


def inject_document(
    document: object, namespace_of: Callable[[str], Namespace], config: InjectionConfig
) -> tuple[object, tuple[Outcome, ...]]:
    """Inject whatever in a document becomes a pod.

    Args:
        document: An object of Kubernetes, or a list of them.
        namespace_of: Gives a namespace by the name in an object, which may be empty.
        config: How pods are injected.

    Returns:
        The document as it should be, the same object if nothing changed, and what was decided.
    """
    outcomes = tuple(_outcome(found, namespace_of, config) for found in find_pods(document))
    for outcome in outcomes:
        if outcome.operations:
            document = applied(document, outcome.operations)
    return document, outcomes


def _outcome(
    found: FoundPod, namespace_of: Callable[[str], Namespace], config: InjectionConfig
) -> Outcome:
    decision = inject(found.pod, namespace_of(found.namespace), config)
    misplaced = _misplaced_label(found)
    if misplaced:
        decision = replace(decision, warnings=(*decision.warnings, *misplaced))
    if not isinstance(decision, Injection):
        return Outcome(found, decision)
    return Outcome(found, decision, found.in_document(decision.operations))


def _misplaced_label(found: FoundPod) -> tuple[Warned, ...]:
    """Say that a label stands on the object whose template should have it."""
    metadata = found.pod.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    if INJECT_LABEL not in found.owner_labels or (isinstance(labels, Mapping) and
                                                  INJECT_LABEL in labels):  # fmt: skip
        return ()
    place = ".".join(str(step) for step in found.steps)
    text = (
        f"the label {INJECT_LABEL} stands on the {found.kind}, where it does nothing: "
        f"it belongs into {place}.metadata.labels"
    )
    return (Warned(WarningKind.LABEL, text),)


def namespaces_in(documents: Sequence[object]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Find the Namespaces among documents, with their labels."""
    for document in documents:
        if not isinstance(document, Mapping):
            continue
        items = document.get("items")
        if document.get("kind") == "List" and isinstance(items, list):
            yield from namespaces_in(items)
        metadata = document.get("metadata")
        if document.get("kind") == "Namespace" and isinstance(metadata, Mapping):
            yield str(metadata.get("name") or ""), _labels(metadata.get("labels"))


def _labels(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}
