"""Objects of a cluster as diagnosis sees them: what does not fit is as if it were not there."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from remora.policy.selector import LabelSelector
from remora_operator.cluster.reports import reported_refusal, reported_version
from remora_operator.diagnosis.evidence import (
    Ended,
    Json,
    SeenContainer,
    SeenHook,
    SeenHooks,
    SeenNamespace,
    SeenPod,
)
from remora_operator.inject.layout import (
    INJECTION_LABEL,
    SIDECAR,
    STATUS_ANNOTATION,
)

_MESSAGE_CHARACTERS = 400
_LISTS = ("initContainers", "containers")
_STATUS_LISTS = ("initContainerStatuses", "containerStatuses")


def read_seen_pod(pod: Json) -> SeenPod:
    """Read a pod."""
    metadata, spec, status = (_object(pod, name) for name in ("metadata", "spec", "status"))
    annotations = _object(metadata, "annotations")
    said = _status_annotation(annotations)
    containers = [c for name in _LISTS for c in _objects(spec, name)]
    return SeenPod(
        name=_text(metadata, "name"),
        labels=texts_of(metadata.get("labels")),
        created=moment(metadata.get("creationTimestamp")),
        is_injected=any(_text(container, "name") == SIDECAR for container in containers),
        is_over=_text(status, "phase") in ("Succeeded", "Failed"),
        is_going=bool(metadata.get("deletionTimestamp")),
        mode=_text(said, "mode"),
        digest=_text(said, "hash"),
        policy_version=reported_version(texts_of(annotations)),
        refusal=reported_refusal(texts_of(annotations)),
        unscheduled=_unscheduled(status),
        states=dict(_states(status)),
        json=pod,
    )


def _status_annotation(annotations: Json) -> Json:
    try:
        said = json.loads(_text(annotations, STATUS_ANNOTATION) or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, Mapping) else {}


def _unscheduled(status: Json) -> str:
    for condition in _objects(status, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return plain(_text(condition, "message") or "no node was found")
    return ""


def _states(status: Json) -> Iterator[tuple[str, SeenContainer]]:
    for name in _STATUS_LISTS:
        for container in _objects(status, name):
            yield _text(container, "name"), _state(container)


def _state(container: Json) -> SeenContainer:
    state = _object(container, "state")
    waiting, running = _object(state, "waiting"), state.get("running")
    restarts = container.get("restartCount")
    return SeenContainer(
        waiting=_text(waiting, "reason") or ("Waiting" if "waiting" in state else ""),
        message=plain(_text(waiting, "message")),
        running_since=moment(running.get("startedAt")) if isinstance(running, Mapping) else None,
        is_started=container.get("started") is True,
        is_ready=container.get("ready") is True,
        restarts=restarts if isinstance(restarts, int) else 0,
        ended=_ended(state),
        before=_ended(_object(container, "lastState")),
    )


def _ended(state: Json) -> Ended | None:
    ended = _object(state, "terminated")
    if not ended:
        return None
    code = ended.get("exitCode")
    return Ended(
        code=code if isinstance(code, int) else -1,
        reason=_text(ended, "reason"),
        message=plain(_text(ended, "message")),
    )


def read_hooks(configuration: Json) -> SeenHooks:
    """Read a MutatingWebhookConfiguration."""
    hooks = (_hook(hook) for hook in _objects(configuration, "webhooks"))
    created = moment(_object(configuration, "metadata").get("creationTimestamp"))
    return SeenHooks(created, {hook.name: hook for hook in hooks})


def _hook(hook: Json) -> SeenHook:
    return SeenHook(
        name=_text(hook, "name"),
        ca_bundle=_decoded(_text(_object(hook, "clientConfig"), "caBundle")),
        fails_closed=_text(hook, "failurePolicy") in ("Fail", ""),  # the default is Fail
        namespaces=_selector(hook.get("namespaceSelector")),
        objects=_selector(hook.get("objectSelector")),
    )


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _selector(value: object) -> LabelSelector | None:
    try:
        return LabelSelector.model_validate(value or {})
    except ValidationError:
        return None


def read_seen_namespace(namespace: Json) -> SeenNamespace:
    """Read a Namespace; its name stands among its labels, as the API server has it."""
    metadata = _object(namespace, "metadata")
    name = {"kubernetes.io/metadata.name": _text(metadata, "name")}
    changed = [
        moment(entry.get("time"))
        for entry in _objects(metadata, "managedFields")
        if f"f:{INJECTION_LABEL}" in _labels_of(entry)
    ]
    times = [one for one in changed if one is not None]
    return SeenNamespace(name | texts_of(metadata.get("labels")), max(times, default=None))


def _labels_of(entry: Json) -> Json:
    return _object(_object(_object(entry, "fieldsV1"), "f:metadata"), "f:labels")


def ready_endpoints(slices: Sequence[Json]) -> int:
    """Count the ready endpoints in EndpointSlices; ``ready`` that is absent means ready."""
    endpoints = [endpoint for one in slices for endpoint in _objects(one, "endpoints")]
    return sum(_object(one, "conditions").get("ready") is not False for one in endpoints)


def keys_of(config_map: Json) -> frozenset[str]:
    """Return the keys of a ConfigMap that have a value."""
    held = {**_object(config_map, "data"), **_object(config_map, "binaryData")}
    return frozenset(name for name, value in held.items() if value)


def moment(value: object) -> datetime | None:
    """Read a time of the API server's."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read is not None and read.tzinfo is None else read


def plain(text: str) -> str:
    """Return text on one line, as long as people read; the end of a log says most."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MESSAGE_CHARACTERS else f"…{line[1 - _MESSAGE_CHARACTERS :]}"


def texts_of(value: object) -> dict[str, str]:
    """Return what is text in a mapping of names to text."""
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {name: text for name, text in pairs if isinstance(text, str)}


def _object(parent: Json, name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _objects(parent: Json, name: str) -> list[Mapping[str, Any]]:
    value = parent.get(name)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(parent: Json, name: str) -> str:
    value = parent.get(name)
    return value if isinstance(value, str) else ""
