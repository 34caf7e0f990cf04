"""Whether the API server asks the operator at all, and would reach it."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from cryptography import x509

from remora_operator.diagnosis.evidence import Evidence, Part, SeenHook
from remora_operator.diagnosis.finding import Finding, note

CONFIGURATION = "remora-injector"
HOOKS = ("namespace.injector.remora.dev", "pod.injector.remora.dev")

_WHERE = f"MutatingWebhookConfiguration {CONFIGURATION}"
_INSTALL = "apply the operator's manifests again"


def webhook_findings(evidence: Evidence, labels: Mapping[str, str]) -> Iterator[Finding]:
    """Say what keeps new pods from being injected.

    Args:
        evidence: What was read.
        labels: Of the pods that are to be.
    """
    if evidence.was_asked(Part.OPERATOR) and not evidence.ready_operators:
        text = "no replica of the operator is ready to answer the API server"
        todo = f"see why: kubectl get pods -n {evidence.operator_namespace}, and their logs"
        where = f"Service remora-operator in {evidence.operator_namespace}"
        yield Finding("OperatorNotReady", where, text, todo)
    if not evidence.was_asked(Part.WEBHOOK):
        return
    if evidence.hooks is None:
        text = "it does not exist, so the API server asks nobody about new pods"
        yield Finding("WebhookMissing", _WHERE, text, _INSTALL)
        return
    for name in HOOKS:
        hook = evidence.hooks.hooks.get(name)
        if hook is None:
            text = f"its entry {name} is missing, so pods that it is for are not injected"
            yield Finding("WebhookEntryMissing", _WHERE, text, _INSTALL)
        else:
            yield from _of_hook(hook, evidence)
    yield from _selectors(evidence, labels)


def _of_hook(hook: SeenHook, evidence: Evidence) -> Iterator[Finding]:
    wait = (
        "the operator's leader writes it: see its log, or cert-manager's where that keeps the "
        "certificates"
    )
    if not hook.ca_bundle:
        text = "caBundle is empty, so the API server can't trust the operator"
        yield Finding("CaBundleEmpty", _WHERE, text, wait)
    else:
        yield from _bundle(hook.ca_bundle, evidence.now, wait)
    if not hook.fails_closed:
        text = (
            f"{hook.name} has failurePolicy Ignore: while the operator is away pods start without "
            "a sidecar"
        )
        yield note("FailurePolicyIgnore", _WHERE, text, "set failurePolicy: Fail")


def _bundle(pem: bytes, now: datetime, todo: str) -> Iterator[Finding]:
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        text = "caBundle is no PEM, so the API server can't trust the operator"
        yield Finding("CaBundleUnreadable", _WHERE, text, todo)
        return
    ends = [certificate.not_valid_after_utc for certificate in certificates]
    if max(ends) < now:
        text = f"every certificate in caBundle has expired, the last one on {max(ends):%Y-%m-%d}"
        yield Finding("CaBundleExpired", _WHERE, text, todo)


def _selectors(evidence: Evidence, labels: Mapping[str, str]) -> Iterator[Finding]:
    """Say that no entry chooses the pods, although injection would take them."""
    hooks = evidence.hooks.hooks.values() if evidence.hooks is not None else ()
    if evidence.seen_namespace is None or not hooks:
        return
    of_namespace = evidence.seen_namespace.labels
    for hook in hooks:
        if hook.namespaces is None or hook.objects is None:
            return
        if hook.namespaces.matches(of_namespace) and hook.objects.matches(labels):
            return
    text = "none of its entries selects these pods, although they should have a sidecar"
    todo = f"somebody has changed its selectors: {_INSTALL}"
    yield Finding("SelectorsMiss", _WHERE, text, todo)
