"""What a container's processes may do: its securityContext as arguments of ``setpriv``. Pure.

Capabilities without a word of the pod's are those that containerd gives; others than root keep
none of them over ``exec``, since Kubernetes sets no ambient capabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Json = Mapping[str, Any]

DEFAULT_CAPABILITIES = frozenset(
    {
        "audit_write",
        "chown",
        "dac_override",
        "fowner",
        "fsetid",
        "kill",
        "mknod",
        "net_bind_service",
        "net_raw",
        "setfcap",
        "setgid",
        "setpcap",
        "setuid",
        "sys_chroot",
    }
)
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a container's processes may do.

    Attributes:
        user: None: the image's.
        group: None: the image's.
        groups: More groups.
        capabilities: None: every one there is.
        may_gain: Whether ``exec`` may give more than there was (set-user-id, file capabilities).
        reads_only: Whether the root file system can't be written.
        must_not_be_root: Root is refused.
    """

    user: int | None
    group: int | None
    groups: tuple[int, ...]
    capabilities: frozenset[str] | None
    may_gain: bool
    reads_only: bool
    must_not_be_root: bool

    def arguments(self, user: int, group: int) -> list[str]:
        """Return the arguments of ``setpriv`` for a user and group that are settled."""
        groups = sorted({group, *self.groups})
        arguments = [f"--reuid={user}", f"--regid={group}", f"--groups={_joined(groups)}"]
        if self.capabilities is not None:
            kept = [f"+{name}" for name in sorted(self.capabilities)]
            arguments.append(f"--bounding-set={_joined(['-all', *kept])}")
        arguments.append("--inh-caps=-all")
        return arguments if self.may_gain else [*arguments, "--no-new-privs"]


def _joined(parts: Sequence[object]) -> str:
    return ",".join(map(str, parts))


def read_rights(own: Json, pod: Json) -> Rights:
    """Read a container's securityContext, over that of its pod."""
    both = {**pod, **{name: value for name, value in own.items() if value is not None}}
    is_privileged = bool(own.get("privileged"))
    groups = [*(pod.get("supplementalGroups") or ())]
    if pod.get("fsGroup") is not None:
        groups.append(pod["fsGroup"])
    return Rights(
        user=both.get("runAsUser"),
        group=both.get("runAsGroup"),
        groups=tuple(groups),
        capabilities=None if is_privileged else _capabilities(own.get("capabilities") or {}),
        may_gain=is_privileged or own.get("allowPrivilegeEscalation") is not False,
        reads_only=bool(own.get("readOnlyRootFilesystem")),
        must_not_be_root=bool(both.get("runAsNonRoot")),
    )


def _capabilities(json: Json) -> frozenset[str] | None:
    """Settle what is added and dropped, in the order in which containerd does."""
    added, dropped = _names(json.get("add")), _names(json.get("drop"))
    if _ALL in added:
        if dropped:
            raise ValueError("capabilities: all but some are not supported here")
        return None
    start = frozenset[str]() if _ALL in dropped else DEFAULT_CAPABILITIES
    return (start | added) - dropped


def _names(names: Sequence[str] | None) -> frozenset[str]:
    return frozenset(name.lower().removeprefix("cap_") for name in names or ())
