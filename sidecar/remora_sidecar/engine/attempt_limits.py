"""How long one attempt may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How long parts of one attempt may take; None for what only the system limits.

    Attributes:
        connect_s: Until the connection stands.
        first_byte_s: From then until the head of an answer.
        idle_s: Between two pieces of the answer.
    """

    connect_s: float | None = None
    first_byte_s: float | None = None
    idle_s: float | None = None


NO_LIMITS = AttemptLimits()
