"""An AdmissionReview in, an AdmissionReview out: the protocol around injection. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

Whatever comes in is answered by a review that the API server can read. What can't be read or
goes wrong in here is refused, with a reason: a pod that was meant to have a sidecar does not
start without one.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from remora_operator.inject import (
    Decision,
    Injection,
    InjectionConfig,
    Namespace,
    Operation,
    Refuse,
    Skip,
    inject,
)
from remora_operator.inject.outcome import Warned

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

MAX_REVIEW_BYTES = 8 * 1024 * 1024
"""The API server takes objects up to 3 MiB; a review may hold an old and a new one."""

_WARNING_CHARACTERS = 256
_WARNINGS_CHARACTERS = 4096
"""The API server cuts off single warnings, and all of them, at these lengths."""

_BAD_REQUEST = 400
_FORBIDDEN = 403
_TOO_LARGE = 413
_INTERNAL = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """What a review is about, for Events and metrics.

    Attributes:
        namespace: Of the pod.
        name: Of the pod; empty where the API server makes it up later.
        generate_name: What it makes it of.
        owners: The pod's ``ownerReferences``.
        dry_run: Nothing may be written because of this review.
    """

    namespace: str
    name: str
    generate_name: str
    owners: tuple[Mapping[str, Any], ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a review.

    Attributes:
        body: The AdmissionReview to send, as JSON.
        decision: What became of the pod; None where the review was not about a new pod, or
            could not be read.
        subject: What it is about; None as above.
        code: Why it could not be decided, as an HTTP status; None where it could.
        error: What went wrong in here, for the log; None if nothing did.
    """

    body: bytes
    decision: Decision | None = None
    subject: Subject | None = None
    code: int | None = None
    error: Exception | None = None


type NamespaceOf = Callable[[str], Namespace | None]
"""Gives a namespace by name; None where it is not known (any more)."""


class _Unreadable(Exception):
    """A review that can't be answered in substance."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def answer(
    body: bytes, namespace_of: NamespaceOf, config: InjectionConfig, *, chosen: bool = False
) -> Answer:
    """Answer a review.

    Args:
        body: What the API server sent.
        namespace_of: What is known of namespaces.
        config: How pods are injected in this cluster.
        chosen: The API server's selectors have chosen the pod, so that a namespace's labels
            as they are known here, which may be older, do not unselect it.
    """
    uid = ""
    try:
        review = _parsed(body)
        request = _object(review.get("request"), "request")
        uid = _text(request, "uid")
        if review.get("apiVersion") != API_VERSION or review.get("kind") != KIND:
            raise _Unreadable(_BAD_REQUEST, f"only {API_VERSION} {KIND} is understood")
        if not _is_new_pod(request):
            return Answer(_review(uid, {"allowed": True}))
        return _decided(uid, request, namespace_of, config, chosen=chosen)
    except _Unreadable as unreadable:
        return _undecided(uid, unreadable.code, str(unreadable))
    except Exception as error:  # noqa: BLE001 - whatever it is, the API server gets an answer
        what = f"remora could not decide about this pod ({type(error).__name__})"
        return replace(_undecided(uid, _INTERNAL, what), error=error)


def refusal(code: int, message: str, body: bytes = b"") -> Answer:
    """Refuse what could not even be looked at, in an answer that the API server can read.

    Args:
        code: HTTP status that says what is wrong.
        message: The same for people.
        body: As far as it came; its uid is echoed if it can be read.
    """
    try:
        uid = _text(_object(_parsed(body).get("request"), "request"), "uid")
    except _Unreadable:
        uid = ""
    return _undecided(uid, code, message)


def _undecided(uid: str, code: int, message: str) -> Answer:
    return Answer(_review(uid, _denied(code, message)), code=code)


def _parsed(body: bytes) -> Mapping[str, Any]:
    if len(body) > MAX_REVIEW_BYTES:
        raise _Unreadable(_TOO_LARGE, f"the review is larger than {MAX_REVIEW_BYTES} bytes")
    try:
        return _object(orjson.loads(body), "the review")
    except orjson.JSONDecodeError as error:
        raise _Unreadable(_BAD_REQUEST, f"the review is not JSON: {error}") from None


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Unreadable(_BAD_REQUEST, f"{what} should be an object")
    return value


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Unreadable(_BAD_REQUEST, f"request.{name} should be a string")
    return value


def _is_new_pod(request: Mapping[str, Any]) -> bool:
    """Tell whether a pod is being created; anything else is none of ours."""
    resource = request.get("resource")
    return (
        request.get("operation") == "CREATE"
        and not request.get("subResource")
        and isinstance(resource, dict)
        and (resource.get("group") or "", resource.get("resource")) == ("", "pods")
    )


def _decided(
    uid: str,
    request: Mapping[str, Any],
    namespace_of: NamespaceOf,
    config: InjectionConfig,
    *,
    chosen: bool,
) -> Answer:
    pod = _object(request.get("object"), "request.object")
    name = _text(request, "namespace")
    known = namespace_of(name)
    namespace = Namespace(name, labels=None) if known is None else known
    namespace = replace(namespace, chosen=True) if chosen else namespace
    decision = inject(pod, namespace, config)
    return Answer(_review(uid, _response(decision)), decision, _subject(name, request, pod))


def _subject(namespace: str, request: Mapping[str, Any], pod: Mapping[str, Any]) -> Subject:
    metadata = pod.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    owners = metadata.get("ownerReferences")
    return Subject(
        namespace=namespace,
        name=_text(request, "name") or str(metadata.get("name") or ""),
        generate_name=str(metadata.get("generateName") or ""),
        owners=tuple(o for o in owners if isinstance(o, dict)) if isinstance(owners, list) else (),
        dry_run=request.get("dryRun") is True,
    )


def _response(decision: Decision) -> dict[str, Any]:
    warned = {"warnings": texts} if (texts := _warnings(decision.warnings)) else {}
    match decision:
        case Refuse():
            denied = _denied(_FORBIDDEN, f"remora refuses this pod: {decision.message}")
            return denied | warned | {"auditAnnotations": {"refused": decision.reason.value}}
        case Skip():
            return {
                "allowed": True,
                "auditAnnotations": {"skipped": decision.reason.value},
            } | warned
        case Injection():
            audit = {"mode": decision.mode.value, "hash": decision.digest}
            allowed = {"allowed": True, "auditAnnotations": audit}
            return allowed | warned | _patch(decision.operations)


def _patch(operations: Sequence[Operation]) -> dict[str, Any]:
    if not operations:
        return {}
    patch = orjson.dumps([operation.as_json() for operation in operations])
    return {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}


def _warnings(warnings: Sequence[Warned]) -> list[str]:
    """Write the warnings as long as the API server passes them on."""
    texts, room = list[str](), _WARNINGS_CHARACTERS
    for warned in warnings:
        text = f"remora: {warned.message}"
        text = text if len(text) <= _WARNING_CHARACTERS else f"{text[: _WARNING_CHARACTERS - 1]}…"
        room -= len(text)
        if room < 0:
            break
        texts.append(text)
    return texts


def _denied(code: int, message: str) -> dict[str, Any]:
    reasons = {_FORBIDDEN: "Forbidden", _INTERNAL: "InternalError"}
    status = {"code": code, "reason": reasons.get(code, "BadRequest"), "message": message}
    return {"allowed": False, "status": {"status": "Failure", **status}}


def _review(uid: str, response: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        {"apiVersion": API_VERSION, "kind": KIND, "response": {"uid": uid, **response}}
    )
