"""What in a pod's spec leads around its sidecar, or to what the sidecar holds.

A sidecar in the same pod is no sandbox. What the spec shows is refused or flagged, as the
configuration has it; what an image does can't be seen here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from remora_operator.inject.config import SAFETY, Hazard, InjectionConfig, Verdict
from remora_operator.inject.layout import OWN_PORTS
from remora_operator.inject.outcome import Cause, Mode, RefusalReason, Warned, WarningKind
from remora_operator.inject.pod import Container, Pod

_AROUND_THE_RULES = frozenset({Hazard.NET_ADMIN, Hazard.NET_RAW, Hazard.SETUID, Hazard.OTHER_MESH})
"""They matter only where there are redirect rules to step around."""

_POWERFUL = frozenset({"SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "BPF"})


@dataclass(frozen=True, slots=True)
class Found:
    """One hazard of a pod, and what it means."""

    hazard: Hazard
    message: str


def judge(
    pod: Pod, mode: Mode, config: InjectionConfig
) -> tuple[tuple[Cause, ...], tuple[Warned, ...]]:
    """Return what a pod is refused for, and what it is flagged for."""
    causes, warnings = list[Cause](), list[Warned]()
    for found in hazards(pod, config):
        verdict = _verdict(found.hazard, mode, config)
        if verdict == "refuse":
            causes.append(Cause(RefusalReason.UNSAFE, found.message))
        elif verdict == "flag":
            warnings.append(Warned(WarningKind.UNSAFE, found.message))
    return tuple(causes), tuple(warnings)


def _verdict(hazard: Hazard, mode: Mode, config: InjectionConfig) -> Verdict:
    verdict = config.safety.get(hazard, SAFETY[hazard])
    if mode is Mode.TRANSPARENT or hazard not in _AROUND_THE_RULES:
        return verdict
    return "flag" if verdict == "refuse" else "allow"


def hazards(pod: Pod, config: InjectionConfig) -> Iterator[Found]:
    """Look at all that can be seen, whatever is done about it."""
    if pod.shared_processes:
        text = "shareProcessNamespace lets containers see and signal the sidecar's processes"
        yield Found(Hazard.SHARED_PROCESSES, text)
    if pod.host_pid:
        yield Found(Hazard.HOST_PID, "hostPID lets containers see and signal every process")
    for hazard, test, text in _of_containers(config):
        names = [container.name for container in pod.own if test(container)]
        if names:
            yield Found(hazard, f"{_listed(names)}: {text}")


type _Test = Callable[[Container], bool]


def _of_containers(config: InjectionConfig) -> Sequence[tuple[Hazard, _Test, str]]:
    uid = config.sidecar_uid
    return (
        (
            Hazard.SIDECAR_UID,
            lambda c: c.rights.user == uid,
            f"runs as user {uid}, which is the sidecar's and not redirected: use another one",
        ),
        (
            Hazard.PRIVILEGED,
            lambda c: c.rights.privileged,
            "is privileged, which is the rights of the node",
        ),
        (
            Hazard.NET_ADMIN,
            lambda c: not c.is_mesh and bool(c.rights.added & {"NET_ADMIN", "ALL"}),
            "has the capability NET_ADMIN, which can remove the redirect rules",
        ),
        (
            Hazard.NET_RAW,
            lambda c: c.rights.may_have("NET_RAW"),
            "can use raw sockets, which are not redirected: drop the capability NET_RAW",
        ),
        (
            Hazard.SETUID,
            lambda c: c.rights.may_have("SETUID"),
            f"can become user {uid}, which is not redirected: drop the capability SETUID",
        ),
        (
            Hazard.SYS_ADMIN,
            lambda c: bool(c.rights.added & _POWERFUL),
            f"has one of the capabilities {', '.join(sorted(_POWERFUL))}",
        ),
        (
            Hazard.OTHER_MESH,
            lambda c: c.is_mesh,
            "redirects the pod's traffic as well, and the two would send it in a circle: "
            "set remora.dev/mode: explicit",
        ),
        (
            Hazard.PORT,
            lambda c: not OWN_PORTS.isdisjoint(c.ports),
            f"listens on a port of the sidecar's ({', '.join(map(str, sorted(OWN_PORTS)))})",
        ),
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"container {shown}" if len(names) == 1 else f"containers {shown}"
