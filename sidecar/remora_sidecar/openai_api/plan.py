"""Where a request is to be sent, in order; or why nowhere. Pure values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from remora.providers import Provider
from remora.workflows.choosing import Candidate
from remora_sidecar.model.refusal import Refusal

MAX_LEGS: Final = 4
"""So many models are tried at the most."""

MAX_SHOWN: Final = 16
"""Candidates that answers show."""

_MAX_DROPPED: Final = 64

NO_MODELS: Final = "no_models_available"


class Leg(NamedTuple):
    """One provider's model.

    Attributes:
        est_cost_usd: What the request is likely to cost there; None if unknown.
    """

    provider: Provider
    model: str
    est_cost_usd: Decimal | None = None


class Out(NamedTuple):
    """A model that was looked at and left out."""

    provider: str
    model: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is made of a request.

    Attributes:
        legs: To be tried in this order, at least one.
        requested: The model that the client named.
        goal: What the request is for, where that was worked out.
        tier: How strong a model was looked for, where one was.
        candidates: All that could take the request, best first.
    """

    legs: tuple[Leg, ...]
    requested: str
    goal: str = ""
    tier: str = ""
    candidates: tuple[Leg, ...] = ()


def leg_of(candidate: Candidate, provider: Provider) -> Leg:
    """Make a leg of a catalogue's candidate."""
    return Leg(provider, candidate.entry.model, candidate.cost_usd)


def no_models(asked: str, dropped: Sequence[Out]) -> "NoModels":
    """Say that no model can take a request, and why each one is out."""
    counted = Counter(one.why for one in dropped).most_common()
    reasons = "; ".join(f"{why}: {count}" for why, count in counted[:8]) or "none is known by name"
    what = f"no model can take this request for {asked!r}: {reasons}"
    return NoModels(Refusal(400, "invalid_request_error", NO_MODELS, what), tuple(dropped))


class NoModels(NamedTuple):
    """A refusal with the models that were left out."""

    refusal: Refusal
    dropped: tuple[Out, ...]

    @property
    def view(self) -> list[dict[str, Any]]:
        """The models as JSON, up to a bound."""
        return [
            {"provider": one.provider, "model": one.model, "filtered_out_by": one.why}
            for one in self.dropped[:_MAX_DROPPED]
        ]
