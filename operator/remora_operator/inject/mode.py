"""How a pod's calls reach its sidecar: redirected, or by the proxy variables."""

from collections.abc import Mapping
from dataclasses import dataclass

from remora_operator.inject.annotations import Wishes
from remora_operator.inject.config import InjectionConfig, Namespace, PodSecurityLevel
from remora_operator.inject.layout import NETINIT, PREFIX, SIDECAR
from remora_operator.inject.outcome import Mode, Warned, WarningKind
from remora_operator.inject.pod import Pod

ENFORCE_LABEL = "pod-security.kubernetes.io/enforce"
_LEVELS: Mapping[str, PodSecurityLevel] = {
    "privileged": "privileged",
    "baseline": "baseline",
    "restricted": "restricted",
}


@dataclass(frozen=True, slots=True)
class ChosenMode:
    """The mode, and what to say about the choice."""

    mode: Mode
    warnings: tuple[Warned, ...] = ()


def choose_mode(
    pod: Pod, namespace: Namespace, wishes: Wishes, config: InjectionConfig
) -> ChosenMode:
    """Choose: the pod's annotation, else the configuration, else what can work here.

    A pod that came injected keeps its mode where nobody forces one: containers are told apart
    by their shape, so a second pass must not ask for another one.
    """
    asked = wishes.mode or config.mode
    if asked != "auto":
        return _forced(Mode(asked), namespace, config)
    reason = _incapable(pod, namespace, config)
    shape = _shape(pod)
    if shape is Mode.TRANSPARENT or (reason is None and shape is None):
        return ChosenMode(Mode.TRANSPARENT, _security_warning(Mode.TRANSPARENT, namespace, config))
    why = reason or "the pod came with the sidecar of that mode"
    said = Warned(WarningKind.MODE, f"explicit mode, whose proxy programs may ignore: {why}")
    return ChosenMode(Mode.EXPLICIT, (said,))


def _shape(pod: Pod) -> Mode | None:
    """Tell what an injected pod was injected as; a container with resources alone is no sign."""
    if any(container.name == NETINIT for container in pod.containers):
        return Mode.TRANSPARENT
    sidecar = next((c for c in pod.containers if c.name == SIDECAR), None)
    modes = {v.value for v in sidecar.variables if v.name == "REMORA_MODE"} if sidecar else set()
    return Mode.EXPLICIT if modes == {Mode.EXPLICIT.value} else None


def _forced(mode: Mode, namespace: Namespace, config: InjectionConfig) -> ChosenMode:
    return ChosenMode(mode, _security_warning(mode, namespace, config))


def _security_warning(
    mode: Mode, namespace: Namespace, config: InjectionConfig
) -> tuple[Warned, ...]:
    level = enforced_level(namespace, config)
    if mode is Mode.EXPLICIT or level == "privileged":
        return ()
    text = (
        f"transparent mode needs the capability NET_ADMIN, which the level {level} that namespace "
        f"{namespace.name} enforces does not allow: set {PREFIX}mode: explicit"
    )
    return (Warned(WarningKind.POD_SECURITY, text),)


def _incapable(pod: Pod, namespace: Namespace, config: InjectionConfig) -> str | None:
    """Say why redirect rules can't be had, or would go in a circle."""
    level = enforced_level(namespace, config)
    if level != "privileged":
        return f"namespace {namespace.name} enforces the Pod Security level {level}"
    if pod.runtime_class in config.incapable_runtime_classes:
        return f"RuntimeClass {pod.runtime_class} is listed as unable to redirect"
    mesh = next((container.name for container in pod.containers if container.is_mesh), None)
    return None if mesh is None else f"{mesh} redirects the pod's traffic already"


def enforced_level(namespace: Namespace, config: InjectionConfig) -> PodSecurityLevel:
    """Return the Pod Security level that a namespace enforces.

    A label that is no level counts as ``restricted``, as it does for the API server.
    """
    label = namespace.known_labels.get(ENFORCE_LABEL)
    return config.default_pod_security if label is None else _LEVELS.get(label, "restricted")
