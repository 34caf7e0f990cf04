"""Decisions as they are logged: what a call asked for, where it might have gone and how it did."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from remora.learning.arms import Arm
from remora.learning.offpolicy import Logged


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """A call that a router decided with a known chance and that was judged.

    Attributes:
        arm: Key of the arm that was taken.
        arms: Keys of all that might have been.
        propensity: How likely the one that was taken was.
        reward: How good its answer was, from 0 to 1.
        confidence: How sure that is, from 0 to 1.
        cost_usd: None if unknown; so ``latency_ms``.
        requested_model: That the call asked for; empty if unknown.
        rule: The route that had the call.
    """

    call_id: str
    goal: str
    arm: str
    arms: tuple[str, ...]
    propensity: float
    reward: float
    confidence: float
    started_unix_ns: int
    cost_usd: Decimal | None = None
    latency_ms: float | None = None
    requested_model: str = ""
    rule: str = ""

    def logged(self) -> Logged:
        """Give what estimates go by."""
        return Logged(
            self.goal,
            self.arm,
            self.propensity,
            self.reward,
            self.arms,
            self.confidence,
            self.requested_model,
        )


@lru_cache(maxsize=4_096)
def arm_named(key: str) -> Arm:
    """Read an arm's key back: ``provider/model``, with its parameters as a JSON object."""
    provider, _, rest = key.partition("/")
    at = rest.find(" {") if rest.endswith("}") else -1
    while at >= 0:
        try:
            return Arm(provider, rest[:at], json.loads(rest[at + 1 :]))
        except (ValueError, RecursionError):
            at = rest.find(" {", at + 1)
    return Arm(provider, rest)
