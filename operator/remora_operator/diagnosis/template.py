"""What injection says about the pods that a workload makes, and what to do about that."""

from collections.abc import Iterator, Mapping

from remora_operator.diagnosis.evidence import Evidence, Part
from remora_operator.diagnosis.finding import Finding, note
from remora_operator.inject import Injection, Namespace, PolicyNeeds, Refuse, Skip
from remora_operator.inject.layout import INJECT_LABEL, INJECTION_LABEL
from remora_operator.inject.offline import Outcome, inject_document
from remora_operator.inject.outcome import SkipReason, WarningKind


def namespace_now(evidence: Evidence, needs: PolicyNeeds) -> Namespace:
    """Return the namespace as injection takes it."""
    seen = evidence.seen_namespace
    labels = None if seen is None else seen.labels
    return Namespace(evidence.namespace, labels, needs=lambda _: needs)


def outcome_now(evidence: Evidence, namespace: Namespace) -> Outcome | None:
    """Inject the workload as the operator would now; None: it makes no pods."""
    _, outcomes = inject_document(evidence.top, lambda _: namespace, evidence.config)
    return next(iter(outcomes), None)


def template_findings(evidence: Evidence, outcome: Outcome | None) -> Iterator[Finding]:
    """Say why new pods would not be injected, and what is to be known where they are."""
    where = f"{evidence.kind.lower()}/{evidence.name}"
    if outcome is None:
        text = "it has no template with containers, so it makes no pods that could be injected"
        yield Finding("NoTemplate", where, text)
        return
    decision = outcome.decision
    match decision:
        case Skip(reason=reason, message=message):
            yield Finding(reason.value, where, message, _todo(reason, evidence, outcome))
        case Refuse(causes=causes):
            for cause in causes:
                text = f"its pods are refused: {cause.message}"
                yield Finding(cause.reason.value, where, text, _REFUSED)
        case Injection():
            pass
    for warned in decision.warnings:
        misplaced = warned.kind is WarningKind.LABEL and not isinstance(decision, Injection)
        make = Finding if misplaced else note
        yield make(warned.kind.value, where, warned.message)


_REFUSED = (
    "change that in the template, or what the configuration's `safety` says of it "
    "(docs/injection.md)"
)


def _todo(reason: SkipReason, evidence: Evidence, outcome: Outcome) -> str:
    name = evidence.namespace
    place = ".".join((*map(str, outcome.found.steps), "metadata.labels"))
    enable = f"kubectl label namespace {name} {INJECTION_LABEL}=enabled --overwrite"
    said: Mapping[SkipReason, str] = {
        SkipReason.EXCLUDED_NAMESPACE: (
            "run it in another namespace, or take this one out of `excludedNamespaces` in the "
            "operator's configuration"
        ),
        SkipReason.NAMESPACE_OPT_OUT: enable,
        SkipReason.POD_OPT_OUT: f"take {INJECT_LABEL} out of {place}",
        SkipReason.NOT_SELECTED: f'{enable}; or put {INJECT_LABEL}: "true" into {place}',
        SkipReason.MIRROR_POD: "let a controller make the pod, not the kubelet's own folder",
        SkipReason.WINDOWS: "run it on Linux",
        SkipReason.HOST_NETWORK: "take hostNetwork out of the pod's spec",
    }
    return said[reason]


def creation_findings(evidence: Evidence) -> Iterator[Finding]:
    """Say why controllers could not create pods."""
    if not evidence.was_asked(Part.EVENTS):
        return
    where = f"{evidence.kind.lower()}/{evidence.name}"
    for message in evidence.failures:
        kind, todo = "PodsNotCreated", "mend what the message says; the controller tries again"
        if "failed calling webhook" in message and "injector.remora.dev" in message:
            kind = "WebhookFails"
            todo = (
                f"see why: kubectl get pods -n {evidence.operator_namespace}, and the "
                "operator's log; the controller tries again"
            )
        elif "remora refuses this pod" in message:
            kind, todo = "PodsRefused", _REFUSED
        yield Finding(kind, where, f"pods can't be created: {message}", todo)
