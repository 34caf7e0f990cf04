"""What an answer has to say in the cluster's Events, and about which object. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from remora_operator.inject import Decision, Injection, Refuse, Skip
from remora_operator.inject.layout import PREFIX
from remora_operator.inject.outcome import Warned
from remora_operator.webhook.review import Answer, Subject

INJECTED: Final = "Injected"
SKIPPED: Final = "InjectionSkipped"
REFUSED: Final = "InjectionRefused"
NETINIT_FAILED: Final = "NetinitFailed"

_NOTE_BYTES: Final = 1024
"""The API server takes no longer note (events.go of its validation; bytes, not characters)."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that a notice is about.

    Attributes:
        api_version: Such as ``apps/v1``.
        kind: Such as ``ReplicaSet``.
        namespace: Of the Event, too.
        name: Its name.
        uid: Empty where it is not known.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    def to_json(self) -> Mapping[str, str]:
        """Write it as an ObjectReference."""
        written = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }
        return {name: value for name, value in written.items() if value}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say in an Event.

    Attributes:
        regarding: About what.
        type: Whether somebody should look at it.
        reason: A stable name.
        note: For people.
    """

    regarding: Regarding
    type: Literal["Normal", "Warning"]
    reason: str
    note: str


def notices(answer: Answer) -> tuple[Notice, ...]:
    """Say what became of a pod, and what it was warned of.

    Nothing of a dry run, and nothing of a pod that was as it should be: it has been told.
    """
    decision, subject = answer.decision, answer.subject
    if decision is None or subject is None or subject.dry_run:
        return ()
    if isinstance(decision, Injection) and not decision.operations:
        return ()
    about, prefix = _regarding(subject)
    return tuple(_said(decision, about, prefix))


def netinit_failed(pod: Regarding, said: str) -> Notice:
    """Say that the redirect rules could not be applied, and what to do about it.

    Args:
        pod: Which pod.
        said: What netinit said last.
    """
    todo = (
        f"this node can't redirect? Put the annotation {PREFIX}mode: explicit into the template, "
        "or its RuntimeClass into incapableRuntimeClasses"
    )
    room = _NOTE_BYTES - len(todo) - 80
    text = f"the redirect rules could not be applied: {said[-room:]}; {todo}"
    return Notice(pod, "Warning", NETINIT_FAILED, _cut(text))


def _said(decision: Decision, about: Regarding, prefix: str) -> Iterator[Notice]:
    match decision:
        case Injection(mode=mode):
            text = f"{prefix}the sidecar was added, {mode.value} mode"
            yield Notice(about, "Normal", INJECTED, _cut(text))
        case Skip(reason=skipped, message=message):
            text = f"{prefix}no sidecar ({skipped.value}): {message}"
            yield Notice(about, "Normal", SKIPPED, _cut(text))
        case Refuse(message=message):
            text = f"{prefix}may not start ({decision.reason.value}): {message}"
            yield Notice(about, "Warning", REFUSED, _cut(text))
    for kind, texts in _by_kind(decision.warnings).items():
        yield Notice(about, "Warning", kind, _cut(prefix + "; ".join(texts)))


def _by_kind(warnings: Sequence[Warned]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for warned in warnings:
        found.setdefault(warned.kind.value, []).append(warned.message)
    return found


def _regarding(subject: Subject) -> tuple[Regarding, str]:
    """Choose the controlling owner, else the pod, else the namespace.

    Returns:
        The object, and what names the pod in the note where the object alone does not.
    """
    owner = next((one for one in subject.owners if one.get("controller") is True), None)
    if owner is not None and _text(owner, "kind") and _text(owner, "name"):
        return _owner(owner, subject.namespace), ""
    if subject.name:
        return Regarding("v1", "Pod", subject.namespace, subject.name), ""
    pod = f"pod {subject.generate_name}…: " if subject.generate_name else "a pod: "
    return Regarding("v1", "Namespace", subject.namespace, subject.namespace), pod


def _owner(owner: Mapping[str, Any], namespace: str) -> Regarding:
    parts = {name: _text(owner, name) for name in ("apiVersion", "kind", "name", "uid")}
    return Regarding(parts["apiVersion"], parts["kind"], namespace, parts["name"], parts["uid"])


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    return text if isinstance(text, str) else ""


def _cut(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _NOTE_BYTES:
        return encoded.decode()
    return encoded[: _NOTE_BYTES - 3].decode("utf-8", "ignore") + "…"
