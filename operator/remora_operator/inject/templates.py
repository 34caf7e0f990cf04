"""Where the pods of an object stand, and what the pods made of them will look like. Pure.

The webhook sees pods; a file holds what makes them. A pod is put together from its template
as its controller would, as far as injection looks at it, so that the outcome is the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remora_operator.inject.outcome import Json, Operation
from remora_operator.inject.patch import escaped

type Steps = tuple[str | int, ...]

_TEMPLATE: Mapping[str, Steps] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "PodTemplate": ("template",),
    "Sandbox": ("spec", "podTemplate"),
    "SandboxTemplate": ("spec", "podTemplate"),
}

_USUAL_PLACES: tuple[Steps, ...] = (("spec", "template"), ("spec", "podTemplate"))
"""Where custom resources have a pod template, such as Argo's Rollout."""

_NOT_FOR_US = ("serving.knative.dev/",)
"""Groups whose templates only look like pods: they take no init containers."""


@dataclass(frozen=True, slots=True)
class FoundPod:
    """A pod, or what pods are made of, in a document.

    Attributes:
        kind: Of the object that holds it.
        name: Of that object; its ``generateName`` where it has no name.
        namespace: Of that object; empty where it does not say.
        steps: From the document down to what holds ``metadata`` and ``spec``.
        pod: The pod as its controller would make it.
        owner_labels: Labels of the object itself; empty for a pod.
        has_metadata: The template has ``metadata`` that something can be added to.
    """

    kind: str
    name: str
    namespace: str
    steps: Steps
    pod: Json
    owner_labels: Mapping[str, Any]
    has_metadata: bool = True

    def in_document(self, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        """Return operations on the pod as operations on the document."""
        prefix = "".join(f"/{escaped(str(step))}" for step in self.steps)
        return tuple(self._placed(operation, prefix) for operation in operations)

    def _placed(self, operation: Operation, prefix: str) -> Operation:
        if self.has_metadata or operation.path != "/metadata/annotations":
            return Operation(operation.op, prefix + operation.path, operation.value)
        return Operation("add", f"{prefix}/metadata", {"annotations": operation.value})


def find_pods(document: object) -> Iterator[FoundPod]:
    """Find everything in a document that becomes a pod; lists are looked into."""
    yield from _found(document, ())


def _found(value: object, steps: Steps) -> Iterator[FoundPod]:
    if not isinstance(value, Mapping):
        return
    kind = value.get("kind")
    items = value.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            yield from _found(_of_list(kind, value, item), (*steps, "items", index))
    elif kind == "Pod":
        yield _as_it_is(value, steps)
    elif isinstance(kind, str):
        for place in _places(kind, value):
            yield from _of_template(kind, value, steps, place)


def _of_list(kind: str, parent: Json, item: object) -> object:
    """Give an item of a typed list its kind, which stands only on the list."""
    if kind == "List" or not isinstance(item, Mapping) or "kind" in item:
        return item
    own = {"kind": kind.removesuffix("List"), "apiVersion": parent.get("apiVersion")}
    return {**own, **item}


def _as_it_is(value: Json, steps: Steps) -> FoundPod:
    metadata = _mapping(value.get("metadata"))
    name, namespace = _name(metadata), _text(metadata, "namespace")
    return FoundPod("Pod", name, namespace, steps, value, {})


def _places(kind: str, value: Json) -> tuple[Steps, ...]:
    if _text(value, "apiVersion").startswith(_NOT_FOR_US):
        return ()
    known = _TEMPLATE.get(kind)
    return (known,) if known is not None else _USUAL_PLACES


def _of_template(kind: str, value: Json, steps: Steps, place: Steps) -> Iterator[FoundPod]:
    template: object = value
    for step in place:
        template = template.get(step) if isinstance(template, Mapping) else None
    if not isinstance(template, Mapping) or not _holds_containers(template):
        return
    metadata = _mapping(value.get("metadata"))
    name = _name(metadata)
    owner = {"kind": kind, "name": name.removesuffix("-"), "controller": True}
    pod = _pod_of(template, owner)
    labels = _mapping(metadata.get("labels"))
    namespace, has_metadata = _text(metadata, "namespace"), template.get("metadata") is not None
    yield FoundPod(kind, name, namespace, (*steps, *place), pod, labels, has_metadata)


def _holds_containers(template: Json) -> bool:
    return isinstance(_mapping(template.get("spec")).get("containers"), list)


def _pod_of(template: Json, owner: Json) -> Json:
    """Give a template the owner that its pods will have; no operation ever touches that."""
    metadata = template.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        return template
    return {**template, "metadata": {**(metadata or {}), "ownerReferences": [owner]}}


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _text(value: Json, name: str) -> str:
    text = value.get(name)
    return text if isinstance(text, str) else ""


def _name(metadata: Json) -> str:
    return _text(metadata, "name") or _text(metadata, "generateName")
