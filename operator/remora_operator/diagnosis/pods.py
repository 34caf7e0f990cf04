"""Pods that exist: why one has no sidecar, and whether a sidecar is what it would be today."""

from collections.abc import Iterator, Mapping

from remora import __version__
from remora_operator.diagnosis.containers import container_findings
from remora_operator.diagnosis.evidence import Evidence, SeenPod
from remora_operator.diagnosis.finding import Finding, note
from remora_operator.inject import Decision, Injection, Namespace, Refuse, Skip, inject
from remora_operator.inject.layout import INJECT_LABEL, INJECTION_LABEL

_ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")


def pod_findings(
    evidence: Evidence,
    pod: SeenPod,
    decision: Decision,
    labels: Mapping[str, str],
) -> Iterator[Finding]:
    """Say what is to be said about one pod.

    Args:
        evidence: What was read.
        pod: The pod.
        decision: What would become of such a pod today.
        labels: Of the template.
    """
    if pod.is_going:
        yield note("Terminating", str(pod), "it is being deleted")
    elif not pod.is_injected:
        if isinstance(decision, Injection) and not pod.is_over:
            yield _missed(evidence, pod, labels)
    else:
        yield from container_findings(evidence, pod)


def restart(evidence: Evidence) -> str:
    """Say how to have pods made anew."""
    kind, name = evidence.kind, evidence.name
    if kind in _ROLLED_OUT:
        return f"kubectl rollout restart {kind.lower()}/{name} -n {evidence.namespace}"
    if kind == "ReplicaSet":
        return "delete the pod: its controller makes another one"
    if kind == "CronJob":
        return "nothing: the next Job's pods have it"
    return "delete it and create it anew"


def _missed(evidence: Evidence, pod: SeenPod, labels: Mapping[str, str]) -> Finding:
    """Find the likeliest reason why a pod that should have a sidecar has none."""
    todo = restart(evidence)
    if not _selects(evidence) and pod.labels.get(INJECT_LABEL) != labels.get(INJECT_LABEL):
        text = f"it was made of an older template, without the label {INJECT_LABEL}"
        return Finding("PodOlderThanTemplate", str(pod), text, todo)
    installed = evidence.hooks.created if evidence.hooks is not None else None
    if pod.created is not None and installed is not None and pod.created < installed:
        text = f"it was created before the operator was installed ({installed:%Y-%m-%d %H:%M} UTC)"
        return Finding("PodOlderThanOperator", str(pod), text, todo)
    seen = evidence.seen_namespace
    changed = seen.label_changed if seen is not None else None
    if (
        _selects(evidence)
        and pod.created is not None
        and changed is not None
        and pod.created < changed
    ):
        text = (
            f"it was created before the label {INJECTION_LABEL} of its namespace was changed "
            f"({changed:%Y-%m-%d %H:%M} UTC); pods that exist already are not touched"
        )
        return Finding("PodOlderThanLabel", str(pod), text, todo)
    text = (
        "it has no sidecar, although it would get one today: when it was created the webhook was "
        "not asked or not reached, or the labels were others"
    )
    return Finding("NotInjected", str(pod), text, todo)


def _selects(evidence: Evidence) -> bool:
    seen = evidence.seen_namespace
    return seen is not None and seen.labels.get(INJECTION_LABEL) == "enabled"


def drift_findings(
    evidence: Evidence, pod: SeenPod, decision: Decision, namespace: Namespace
) -> Iterator[Finding]:
    """Say whether a sidecar is what the operator would write today.

    The pod's own shape is asked first: other webhooks may have made it another one than its
    template's. Its containers can't be written anew, so that what differs is refused.

    Args:
        evidence: What was read.
        pod: A pod with a sidecar.
        decision: What would become of such a pod today.
        namespace: Its namespace.
    """
    if isinstance(decision, Skip):
        text = f"it has a sidecar, and a new pod would have none: {decision.message}"
        yield note("InjectedBefore", str(pod), text)
        return
    own = inject(pod.json, namespace, evidence.config)
    known = {one.digest for one in (own, decision) if isinstance(one, Injection)}
    if pod.digest in known:
        return
    if not pod.digest:
        text = "it has a sidecar and no status annotation that says what it was given"
        yield note("NoStatus", str(pod), text)
        return
    why = f": {own.message}" if isinstance(own, Refuse) else ""
    text = (
        f"it was injected with hash {pod.digest}; with today's configuration and policy "
        f"remora {__version__} would write something else{why}"
    )
    yield Finding("Drift", str(pod), text, f"{restart(evidence)}, when it suits")
