"""Injection itself: a pure function from a pod to a patch, or to a reason for none."""

from remora_operator.inject.annotations import read_wishes
from remora_operator.inject.config import SAFETY, Hazard, InjectionConfig, Namespace
from remora_operator.inject.outcome import (
    Cause,
    Decision,
    Injection,
    RefusalReason,
    Refuse,
    Refused,
    Skip,
    SkipReason,
    Warned,
)
from remora_operator.inject.patch import difference
from remora_operator.inject.plan import make_plan
from remora_operator.inject.pod import Pod, read_pod
from remora_operator.inject.safety import judge
from remora_operator.inject.selection import label_warnings, passed_by
from remora_operator.inject.shape import injected_pod, reserved_causes


def inject(pod: object, namespace: Namespace, config: InjectionConfig) -> Decision:
    """Decide what becomes of a pod.

    The pod's shape decides, never a mark on it: a pod that claims to be injected and is not
    gets what it lacks, and one that is gets an empty patch.

    Args:
        pod: Kubernetes JSON; it need not be valid, and is not changed.
        namespace: Where the pod is.
        config: How pods are injected in this cluster.

    Returns:
        The patch, or why there is none. It never raises for what stands in the pod.
    """
    try:
        read = read_pod(pod)
    except Refused as refused:
        return Refuse(refused.causes)
    warnings = label_warnings(read)
    passed = passed_by(read, namespace, config)
    if passed is not None:
        return Skip(passed.reason, passed.message, warnings)
    if read.host_network:
        return _on_the_host(config, warnings)
    try:
        return _injected(read, namespace, config, warnings)
    except Refused as refused:
        return Refuse(refused.causes, warnings)


def _on_the_host(config: InjectionConfig, warnings: tuple[Warned, ...]) -> Decision:
    """Never inject into the node's own network: the rules would redirect the node."""
    text = "hostNetwork: its network is the node's, which is not redirected"
    if config.safety.get(Hazard.HOST_NETWORK, SAFETY[Hazard.HOST_NETWORK]) == "refuse":
        return Refuse((Cause(RefusalReason.UNSAFE, text),), warnings)
    return Skip(SkipReason.HOST_NETWORK, text, warnings)


def _injected(
    pod: Pod, namespace: Namespace, config: InjectionConfig, warnings: tuple[Warned, ...]
) -> Decision:
    wishes, unknown = read_wishes(pod.annotations)
    plan = make_plan(pod, namespace, wishes, config)
    unsafe, flagged = judge(pod, plan.mode, config)
    warnings = (*warnings, *unknown, *plan.warnings, *flagged)
    causes = (*unsafe, *reserved_causes(pod))
    if causes:
        return Refuse(causes, warnings)
    wanted, found, said = injected_pod(pod, plan, config)
    return Injection(difference(pod.json, wanted), plan.mode, found, (*warnings, *said))
