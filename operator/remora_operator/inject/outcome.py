"""What injection decides about a pod, and what it has to say about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

type Json = Mapping[str, Any]
"""An object of Kubernetes' JSON, at the edge where it comes in and goes out."""


class Mode(Enum):
    """How a pod's calls reach the sidecar."""

    TRANSPARENT = "transparent"
    EXPLICIT = "explicit"


class SkipReason(Enum):
    """Why a pod is left as it is; the values are the reasons of Events and metrics."""

    EXCLUDED_NAMESPACE = "ExcludedNamespace"
    NAMESPACE_OPT_OUT = "NamespaceOptOut"
    POD_OPT_OUT = "PodOptOut"
    NOT_SELECTED = "NotSelected"
    MIRROR_POD = "MirrorPod"
    WINDOWS = "Windows"
    HOST_NETWORK = "HostNetwork"


class RefusalReason(Enum):
    """Why a pod may not start; the values are the reasons of Events and metrics."""

    MALFORMED = "Malformed"
    ANNOTATION = "InvalidAnnotation"
    UNSAFE = "Unsafe"
    CONFLICT = "Conflict"
    RESERVED_VOLUME = "ReservedVolume"
    TOKEN_AUDIENCE = "TokenAudience"  # noqa: S105 - names a reason
    TRUST_MOUNT = "TrustMount"


class WarningKind(Enum):
    """What a person should know of a pod that is injected, or skipped by mistake."""

    UNKNOWN_ANNOTATION = "UnknownAnnotation"
    MODE = "Mode"
    POD_SECURITY = "PodSecurity"
    UNSAFE = "Unsafe"
    TRUST_CONFLICT = "TrustConflict"
    TRUST_OVERLAY = "TrustOverlay"
    UNSEEN_VARIABLES = "UnseenVariables"
    CLASSIC_SIDECAR = "ClassicSidecar"
    REDIRECT_PORTS = "RedirectPorts"
    LABEL = "Label"


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that does not keep a pod from starting.

    Attributes:
        kind: Its stable name.
        message: What, where, and what to do.
    """

    kind: WarningKind
    message: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for refusing a pod.

    Attributes:
        reason: Its stable name.
        message: What, where, and what to do.
    """

    reason: RefusalReason
    message: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a JSON Patch (RFC 6902).

    Attributes:
        op: What is done.
        path: Where, as a JSON Pointer (RFC 6901).
        value: What is put there; not looked at by ``remove``.
    """

    op: Literal["add", "remove", "replace"]
    path: str
    value: Any = None

    def as_json(self) -> dict[str, Any]:
        """Write the operation as the API server reads it."""
        if self.op == "remove":
            return {"op": self.op, "path": self.path}
        return {"op": self.op, "path": self.path, "value": self.value}


@dataclass(frozen=True, slots=True)
class Injection:
    """The pod gets a sidecar.

    Attributes:
        operations: The patch; empty where the pod is as it should be already.
        mode: How its calls reach the sidecar.
        digest: Of what the operator gives this pod, in hex; also in its status annotation.
        warnings: What a person should know.
    """

    operations: tuple[Operation, ...]
    mode: Mode
    digest: str
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """The pod stays as it is.

    Attributes:
        reason: Its stable name.
        message: Why, and how to change it.
        warnings: What looks like a mistake.
    """

    reason: SkipReason
    message: str
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """The pod may not start as it is.

    Attributes:
        causes: Everything that stands against it; never empty.
        warnings: What a person should know besides.
    """

    causes: tuple[Cause, ...]
    warnings: tuple[Warned, ...] = ()

    @property
    def reason(self) -> RefusalReason:
        """The first cause's reason, for metrics."""
        return self.causes[0].reason

    @property
    def message(self) -> str:
        """All causes in one text."""
        return "; ".join(cause.message for cause in self.causes)


type Decision = Injection | Skip | Refuse


class Refused(Exception):
    """Carries causes out of the steps of injection; never leaves this package."""

    def __init__(self, *causes: Cause) -> None:
        """Keep the causes."""
        self.causes = causes
        super().__init__("; ".join(cause.message for cause in causes))
