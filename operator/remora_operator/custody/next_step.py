"""What comes next in a rotation that a person makes, and what holds it. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from remora_operator.ca.rotation import BUNDLE_DELAY, Phase, Rotation, retirement_problem

_SHOWN = 5


class RotationStep(StrEnum):
    """What a person can ask for."""

    BEGIN = "begin"
    SWITCH = "switch"
    RETIRE = "retire"
    ABANDON = "abandon"


NEXT: dict[Phase, RotationStep] = {
    Phase.STEADY: RotationStep.BEGIN,
    Phase.PUBLISHED: RotationStep.SWITCH,
    Phase.SWITCHED: RotationStep.RETIRE,
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a step depends on besides the rotation itself.

    Attributes:
        now: UTC.
        agents_started: When each injected pod that still runs was made, UTC.
        lagging: Namespaces whose trust files do not hold the CA's roots.
        longest: Life of what the CA signs.
        issuer: The cert-manager Certificate that writes the Secret; empty if none does.
    """

    now: datetime
    agents_started: Sequence[datetime]
    lagging: Collection[str]
    longest: timedelta
    issuer: str = ""


def holds(step: RotationStep, rotation: Rotation, around: Surroundings) -> tuple[str, ...]:
    """Say what speaks against a step now; empty if nothing does."""
    return tuple(_holds(step, rotation, around))


def _holds(step: RotationStep, rotation: Rotation, around: Surroundings) -> Iterator[str]:
    if around.issuer:
        yield (
            f"cert-manager's Certificate {around.issuer!r} writes the Secret, and would undo it: "
            "delete that first, and keep the Secret"
        )
    if step in (RotationStep.SWITCH, RotationStep.RETIRE) and around.lagging:
        names = sorted(around.lagging)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield (
            "the trust files of these namespaces do not hold the new root yet: "
            f"{', '.join(names[:_SHOWN])}{more}"
        )
    ready = rotation.since + BUNDLE_DELAY
    if step is RotationStep.SWITCH and around.now < ready:
        yield f"pods have the new root by {ready:%H:%M:%S} UTC at the latest"
    if step is RotationStep.RETIRE:
        waits = retirement_problem(
            rotation, around.now, around.agents_started, longest=around.longest
        )
        yield from (waits,) if waits else ()
