"""What was worked out about one pod before its containers are written."""

from collections.abc import Sequence
from dataclasses import dataclass

from remora_operator.inject.annotations import Wishes
from remora_operator.inject.config import (
    InjectionConfig,
    LogLevel,
    Namespace,
    NetworkProfile,
    Resources,
    SecretKey,
    bypass_for,
)
from remora_operator.inject.layout import ALWAYS_REDIRECTED, OWN_PORTS, PREFIX
from remora_operator.inject.mode import choose_mode
from remora_operator.inject.outcome import (
    Cause,
    Mode,
    RefusalReason,
    Refused,
    Warned,
    WarningKind,
)
from remora_operator.inject.pod import Container, Pod
from remora_operator.inject.workload import workload_name


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions about one pod.

    Attributes:
        mode: How its calls reach the sidecar.
        native: The sidecar is an init container that goes on running.
        workload: What the pod belongs to.
        redirect_ports: TCP ports whose connections are redirected, ascending.
        profile: How much else agents may reach.
        secrets: What the sidecar reads keys from.
        bypass: What programs reach without the proxy.
        trust_overlay: Whether the bundle is mounted over the system's.
        sidecar_resources: Of the sidecar; None where the pod's own are one sum for all.
        netinit_resources: Of netinit, alike.
        drain_s: How long calls in flight get when the pod is told to stop.
        flush_s: How long records get after that to be delivered: the spool goes with the pod.
        log_level: How much the sidecar logs.
        warnings: What a person should know of these decisions.
    """

    mode: Mode
    native: bool
    workload: str
    redirect_ports: tuple[int, ...]
    profile: NetworkProfile
    secrets: tuple[SecretKey, ...]
    bypass: tuple[str, ...]
    trust_overlay: bool
    sidecar_resources: Resources | None
    netinit_resources: Resources | None
    drain_s: float
    flush_s: float
    log_level: LogLevel
    warnings: tuple[Warned, ...]


_DRAIN_S = 5.0
_FLUSH_S = 20.0
_MARGIN_S = 3.0
"""What of a grace period is left for all else, before the kubelet kills."""


def make_plan(pod: Pod, namespace: Namespace, wishes: Wishes, config: InjectionConfig) -> Plan:
    """Decide about a pod.

    Raises:
        Refused: It asks for less than the configuration demands.
    """
    chosen = choose_mode(pod, namespace, wishes, config)
    needs = namespace.needs(pod.labels)
    ports, port_warnings = _redirect_ports((*needs.ports, *config.network.ports), wishes)
    resources = None if pod.has_pod_resources else config.netinit_resources
    drain_s = min(_DRAIN_S, max(pod.grace_s, 0) / 2)
    return Plan(
        mode=chosen.mode,
        native=config.native_sidecars,
        workload=workload_name(pod),
        redirect_ports=ports,
        profile=_profile(wishes, config),
        secrets=needs.secrets,
        bypass=bypass_for(config.bypass, needs.hosts),
        trust_overlay=(
            config.trust_overlay if wishes.trust_overlay is None else wishes.trust_overlay
        ),
        sidecar_resources=_sidecar_resources(pod, config),
        netinit_resources=resources,
        drain_s=drain_s,
        flush_s=min(_FLUSH_S, max(pod.grace_s - drain_s - _MARGIN_S, drain_s)),
        log_level=wishes.log_level or config.log_level,
        warnings=(*chosen.warnings, *port_warnings, *_classic_warnings(pod, config)),
    )


def _redirect_ports(
    asked: Sequence[int], wishes: Wishes
) -> tuple[tuple[int, ...], tuple[Warned, ...]]:
    """Unite all ports but the sidecar's own, which netinit would refuse."""
    wanted = {*ALWAYS_REDIRECTED, *asked, *wishes.redirect_ports}
    taken = sorted(wanted & OWN_PORTS)
    text = f"providers on port {', '.join(map(str, taken))} are not redirected: it is the sidecar's"
    warnings = (Warned(WarningKind.REDIRECT_PORTS, text),) if taken else ()
    return tuple(sorted(wanted - OWN_PORTS)), warnings


def _profile(wishes: Wishes, config: InjectionConfig) -> NetworkProfile:
    demanded = config.network.profile
    if demanded == "strict" and wishes.network_profile == "default":
        text = f"annotation {PREFIX}network-profile='default': this cluster demands strict"
        raise Refused(Cause(RefusalReason.ANNOTATION, text))
    return wishes.network_profile or demanded


def _sidecar_resources(pod: Pod, config: InjectionConfig) -> Resources | None:
    """Choose resources that change neither the pod's own sum nor its QoS class."""
    if pod.has_pod_resources:
        return None
    guaranteed = all(_is_guaranteed(container) for container in pod.own)
    return config.guaranteed_resources if guaranteed else config.sidecar_resources


def _is_guaranteed(container: Container) -> bool:
    """Tell whether a container alone would make its pod Guaranteed.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
    """
    limits, requests = container.limits, container.requests
    return all(
        limits.get(name) is not None and requests.get(name, limits[name]) == limits[name]
        for name in ("cpu", "memory")
    )


def _classic_warnings(pod: Pod, config: InjectionConfig) -> tuple[Warned, ...]:
    if config.native_sidecars:
        return ()
    limits = []
    if any(container.kind == "initContainers" for container in pod.own):
        limits.append("calls of init containers go past the sidecar")
    if pod.restart_policy != "Always":
        limits.append("the pod does not complete by itself")
    what = "; ".join(limits) or "the sidecar stops at the same time as the other containers"
    text = f"this server has no native sidecars (Kubernetes 1.29): {what}"
    return (Warned(WarningKind.CLASSIC_SIDECAR, text),)
