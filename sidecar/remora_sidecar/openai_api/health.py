"""Tells the breakers how models did that the sidecar chose, where no route of policy's does so."""

from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.openai_api.carried import Carried
from remora_sidecar.openai_api.plan import Leg


class Health:
    """Keeps the breakers told."""

    def __init__(self, parts: EngineParts) -> None:
        """Take the engine's parts, which have the breakers."""
        self._parts = parts

    def tell(self, leg: Leg, told: Carried | None, *, failed: bool) -> None:
        """Say how a model did.

        Args:
            leg: The model.
            told: What the call's record says; a route's calls are told of by the engine.
            failed: Whether it gave no answer that counts.
        """
        if told is None or told.rule:
            return
        now_s = self._parts.clock.monotonic_s()
        breaker = self._parts.steering.breakers.of(leg.provider.name, leg.model, now_s)
        if (trial := breaker.begin(now_s)) is None:
            return
        if failed:
            breaker.failed(trial, now_s)
        else:
            breaker.succeeded(trial, now_s)
