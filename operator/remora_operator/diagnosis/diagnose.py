"""All findings about one workload, in the order in which one thing hangs on another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remora_operator.diagnosis.evidence import Evidence, Part
from remora_operator.diagnosis.finding import Finding, Weight, note, united
from remora_operator.diagnosis.pods import drift_findings, pod_findings
from remora_operator.diagnosis.policy import policy_findings, policy_now
from remora_operator.diagnosis.reading import texts_of
from remora_operator.diagnosis.template import (
    creation_findings,
    namespace_now,
    outcome_now,
    template_findings,
)
from remora_operator.diagnosis.webhook import webhook_findings
from remora_operator.inject import Injection, PolicyNeeds, Refuse
from remora_operator.inject.layout import (
    SERVING_CA_FILE,
    TRUST_CONFIG_MAP,
    TRUST_FILES,
    UPSTREAM_CA_FILE,
)
from remora_operator.inject.offline import Outcome
from remora_operator.inject.templates import find_pods
from remora_operator.policies import Held, PodPolicy


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found about one workload.

    Attributes:
        kind: Of the object that pods are made of.
        name: Its name.
        namespace: Its namespace.
        pods: How many pods were looked at.
        injected: How many of them have a sidecar.
        findings: Problems first.
    """

    kind: str
    name: str
    namespace: str
    pods: int
    injected: int
    findings: tuple[Finding, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to do anything."""
        return all(finding.weight is Weight.NOTE for finding in self.findings)


def diagnose(evidence: Evidence) -> Diagnosis:
    """Find out why pods were or were not injected, and what else is wrong with them."""
    return Diagnosis(
        kind=evidence.kind,
        name=evidence.name,
        namespace=evidence.namespace,
        pods=len(evidence.pods),
        injected=sum(pod.is_injected for pod in evidence.pods),
        findings=united(_findings(evidence)),
    )


def _findings(evidence: Evidence) -> Iterator[Finding]:
    labels = _labels(evidence)
    versions = {pod.policy_version for pod in evidence.pods if pod.policy_version}
    policy = policy_now(evidence.policies, evidence.namespace, labels, versions)
    needs = policy.needs if isinstance(policy, PodPolicy) else PolicyNeeds()
    namespace = namespace_now(evidence, needs)
    outcome = outcome_now(evidence, namespace)
    yield from _doubts(evidence)
    if not _is_running_copy(evidence, outcome):
        yield from template_findings(evidence, outcome)
    if outcome is None:
        return
    if isinstance(outcome.decision, Injection):
        yield from webhook_findings(evidence, labels)
    yield from creation_findings(evidence)
    if isinstance(outcome.decision, Injection) or any(p.is_injected for p in evidence.pods):
        yield from _about_injected(evidence, policy)
    sees_drift = evidence.knows_configuration and isinstance(policy, PodPolicy)
    for pod in evidence.pods:
        yield from pod_findings(evidence, pod, outcome.decision, labels)
        if sees_drift and pod.is_injected and not (pod.is_over or pod.is_going):
            yield from drift_findings(evidence, pod, outcome.decision, namespace)


def _about_injected(evidence: Evidence, policy: PodPolicy | Held) -> Iterator[Finding]:
    yield from _trust(evidence)
    yield from policy_findings(evidence, policy)


def _is_running_copy(evidence: Evidence, outcome: Outcome | None) -> bool:
    """Tell whether a pod of its own is refused only because it carries an older sidecar."""
    is_refused = outcome is not None and isinstance(outcome.decision, Refuse)
    return is_refused and evidence.kind == "Pod" and any(p.is_injected for p in evidence.pods)


def _labels(evidence: Evidence) -> Mapping[str, str]:
    """Return the labels of the pods that are made."""
    found = next(find_pods(evidence.top), None)
    metadata = None if found is None else found.pod.get("metadata")
    return texts_of(metadata.get("labels")) if isinstance(metadata, Mapping) else {}


def _doubts(evidence: Evidence) -> Iterator[Finding]:
    for part, why in evidence.unasked.items():
        text = f"{part.value} could not be asked, so some things are not known: {why}"
        yield note("NotAsked", part.value, text)
    if evidence.config_problem:
        where = f"ConfigMap remora-config in {evidence.operator_namespace}"
        text = (
            f"the configuration of injection can't be read ({evidence.config_problem}); the "
            "operator goes on with the last good one, and here the defaults are assumed"
        )
        yield Finding("ConfigUnreadable", where, text, "correct it")
    if evidence.was_asked(Part.NAMESPACE) and evidence.seen_namespace is None:
        text = "there is no such namespace (any more)"
        yield Finding("NamespaceMissing", f"namespace {evidence.namespace}", text)


def _trust(evidence: Evidence) -> Iterator[Finding]:
    """Say what pods need of the namespace's ConfigMap and do not find."""
    if not evidence.was_asked(Part.TRUST):
        return
    where = f"ConfigMap {TRUST_CONFIG_MAP} in {evidence.namespace}"
    todo = (
        "the operator's leader writes it into every selected namespace: see its log, "
        f"kubectl logs deployment/remora-operator -n {evidence.operator_namespace}"
    )
    if evidence.trust_keys is None:
        text = "it is missing, and injected pods do not start without it"
        yield Finding("TrustMissing", where, text, todo)
        return
    config = evidence.config
    files = TRUST_FILES if config.trust_source == "configMap" else TRUST_FILES[-1:]
    upstream = (UPSTREAM_CA_FILE,) if config.upstream_ca else ()
    wanted = (*files, SERVING_CA_FILE, *upstream)
    lacking = [key for key in wanted if key not in evidence.trust_keys]
    if lacking:
        text = f"it lacks {', '.join(lacking)}, and injected pods do not start without"
        yield Finding("TrustIncomplete", where, text, todo)
