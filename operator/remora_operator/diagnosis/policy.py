"""Which policy pods should have, and which they have."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import combinations

from remora.policy.consistency import rules_of
from remora_operator.diagnosis.evidence import Evidence, Part, SeenPod
from remora_operator.diagnosis.finding import Finding, note
from remora_operator.inject.layout import POLICY_VERSION_ANNOTATION, SIDECAR
from remora_operator.policies import Held, PodPolicy, PolicyShelf, Reading

_SETTLING = timedelta(minutes=1)
"""How long a pod may take until it has its policy and the operator has written so."""

_MOST_SECRETS = 4

type _Secret = tuple[str, str]
"""A Secret's name, and the provider whose key a policy expects in it."""


def policy_now(
    readings: Sequence[Reading],
    namespace: str,
    labels: Mapping[str, str],
    versions: Collection[str],
) -> PodPolicy | Held:
    """Work out the policy of pods.

    A key whose Secret is not labelled is withheld, which makes another version. Secrets are not
    read here: of the possible versions that one is taken which pods have, else the one with all
    keys.

    Args:
        readings: All policy objects that may concern them.
        namespace: Of the pods.
        labels: Of the pods.
        versions: What they say they have.
    """
    possible = (_policy(readings, namespace, labels, usable) for usable in _usable(readings))
    first = next(possible)
    if isinstance(first, Held) or first.version in versions:
        return first
    found = (one for one in possible if isinstance(one, PodPolicy) and one.version in versions)
    return next(found, first)


def _policy(
    readings: Sequence[Reading],
    namespace: str,
    labels: Mapping[str, str],
    usable: Sequence[_Secret],
) -> PodPolicy | Held:
    shelf = PolicyShelf()
    for reading in readings:
        shelf.put(reading)
    for name, provider in usable:
        shelf.put_secret(namespace, name, provider)
    shelf.complete()
    return shelf.policy_for(namespace, labels)


def _usable(readings: Sequence[Reading]) -> Iterator[Sequence[_Secret]]:
    """Go through which Secrets may be usable: all first, none last."""
    named = sorted(
        {
            (key.secret_ref.name, key.provider)
            for reading in readings
            if reading.document is not None
            for _, rules in rules_of(reading.document)
            for key in rules.credentials
            if key.secret_ref is not None
        }
    )
    yield named
    for size in range(len(named) - 1, 0, -1) if len(named) <= _MOST_SECRETS else ():
        yield from combinations(named, size)
    if named:
        yield ()


def policy_findings(evidence: Evidence, policy: PodPolicy | Held) -> Iterator[Finding]:
    """Say what is wrong with the pods' policy, and who has another one in force."""
    if not evidence.was_asked(Part.POLICIES):
        return
    where = f"namespace {evidence.namespace}"
    if isinstance(policy, Held):
        todo = f"mend {policy.by}: its status says more" if policy.by else "wait a moment"
        yield Finding("PolicyHeld", where, f"new pods get no policy: {policy.why}", todo)
        return
    if policy.source is None:
        text = "no LLMPolicy selects the pods: their calls are recorded, and nothing is changed"
        yield note("NoPolicy", where, text)
    for withheld in policy.withheld:
        yield Finding("CredentialWithheld", str(policy.source), str(withheld), "set that label")
    if policy.tied:
        names = ", ".join(map(str, policy.tied))
        text = f"several policies of the same priority select the pods: {names}"
        yield note("PolicyTied", where, text, "give them different priorities")
    for pod in evidence.pods:
        yield from _of_pod(evidence, pod, policy)


def _of_pod(evidence: Evidence, pod: SeenPod, policy: PodPolicy) -> Iterator[Finding]:
    state = pod.states.get(SIDECAR)
    if not pod.is_injected or pod.is_over or pod.is_going or state is None or not state.is_ready:
        return
    if state.running_since is None or evidence.now - state.running_since < _SETTLING:
        return
    logs = f"kubectl logs {pod.name} -c {SIDECAR} -n {evidence.namespace}"
    refusal = pod.refusal
    if refusal is not None and refusal.version == policy.version:
        text = f"its sidecar refused policy version {policy.version[:12]}: {refusal.problems[0]}"
        todo = "mend the policy; a sidecar of another version of remora may know less than it says"
        yield Finding("PolicyRefused", str(pod), text, todo)
    elif not pod.policy_version:
        text = (
            f"the operator has not written {POLICY_VERSION_ANNOTATION} on it: the sidecar is not "
            "connected, or no replica of the operator is"
        )
        yield Finding("PolicyVersionUnknown", str(pod), text, f"see why: {logs}")
    elif pod.policy_version != policy.version:
        text = (
            f"it has policy version {pod.policy_version[:12]} in force, and should have "
            f"{policy.version[:12]}"
        )
        todo = f"if that stays so, see why: kubectl describe llmpolicy -n {evidence.namespace}"
        yield Finding("PolicyBehind", str(pod), text, f"{todo}, and {logs}")
