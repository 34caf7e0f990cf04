"""What a pod asks for by annotations under ``remora.dev/``.

An unknown key is said, with the nearest one known; a value that can't be read refuses the pod,
since whoever wrote it meant something.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from remora.policy.problems import nearest
from remora_operator.inject.config import LogLevel, ModeChoice, NetworkProfile
from remora_operator.inject.layout import (
    INJECT_LABEL,
    INJECTION_LABEL,
    OWN_PORTS,
    POLICY_REFUSED_ANNOTATION,
    POLICY_VERSION_ANNOTATION,
    PREFIX,
    STATUS_ANNOTATION,
)
from remora_operator.inject.outcome import Cause, RefusalReason, Refused, Warned, WarningKind


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a pod's annotations ask for; None where they do not say.

    Attributes:
        mode: How calls reach the sidecar.
        trust_overlay: Whether the bundle is mounted over the system's.
        redirect_ports: More TCP ports to redirect.
        network_profile: How much else agents may reach.
        log_level: How much the sidecar logs.
    """

    mode: ModeChoice | None = None
    trust_overlay: bool | None = None
    redirect_ports: tuple[int, ...] = ()
    network_profile: NetworkProfile | None = None
    log_level: LogLevel | None = None


def _choice(*choices: str) -> Callable[[str], str]:
    listed = ", ".join(choices[:-1]) + f" or {choices[-1]}"

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"should be {listed}")
        return value

    return parse


def _boolean(value: str) -> bool:
    return _choice("true", "false")(value) == "true"


def _ports(value: str) -> tuple[int, ...]:
    ports = tuple(sorted({_port(part.strip()) for part in value.split(",")}))
    if taken := sorted(OWN_PORTS.intersection(ports)):
        raise ValueError(f"names port {taken[0]}, which is the sidecar's own")
    return ports


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ValueError("should be ports between 1 and 65535, such as 8000,8443")
    return int(text)


READ: Mapping[str, Callable[[str], Any]] = {
    "mode": _choice("auto", "transparent", "explicit"),
    "trust-overlay": _boolean,
    "redirect-ports": _ports,
    "network-profile": _choice("default", "strict"),
    "log-level": _choice("debug", "info", "warning", "error"),
}
"""The annotations that are read, without their prefix; docs/injection.md has them in a table."""

WRITTEN = frozenset({STATUS_ANNOTATION, POLICY_VERSION_ANNOTATION, POLICY_REFUSED_ANNOTATION})
"""The annotations that the operator writes; what they say is never believed."""


def read_wishes(annotations: Mapping[str, str]) -> tuple[Wishes, tuple[Warned, ...]]:
    """Read a pod's annotations.

    Returns:
        What they ask for, and what in them is unknown.

    Raises:
        Refused: Values that can't be read; all of them are named.
    """
    wishes, warnings, causes = Wishes(), list[Warned](), list[Cause]()
    for key, value in annotations.items():
        if not key.startswith(PREFIX) or key in WRITTEN:
            continue
        parse = READ.get(key.removeprefix(PREFIX))
        if parse is None:
            warnings.append(Warned(WarningKind.UNKNOWN_ANNOTATION, _unknown(key)))
            continue
        try:
            field = key.removeprefix(PREFIX).replace("-", "_")
            wishes = replace(wishes, **{field: parse(value)})
        except ValueError as error:
            causes.append(_unreadable(key, value, error))
    if causes:
        raise Refused(*causes)
    return wishes, tuple(warnings)


def _unreadable(key: str, value: str, error: ValueError) -> Cause:
    shown = value if len(value) <= 40 else f"{value[:40]}…"
    return Cause(RefusalReason.ANNOTATION, f"annotation {key}={shown!r} {error}")


def _unknown(key: str) -> str:
    if key in (INJECT_LABEL, INJECTION_LABEL):
        return f"{key} is a label, not an annotation: as an annotation it does nothing"
    return f"unknown annotation {_shown(key)}{nearest(key, _known())}"


def _shown(key: str) -> str:
    return key if len(key) <= 80 else f"{key[:80]}…"


def _known() -> Sequence[str]:
    return [PREFIX + name for name in READ]
