"""Where signals of programs come in."""

from collections.abc import Callable
from dataclasses import dataclass

from remora_sidecar.signals.opinion import Opinions
from remora_sidecar.signals.outbox import Outbox


@dataclass(frozen=True, slots=True)
class SignalDoor:
    """What the control calls of signals need.

    Attributes:
        outbox: Where signals wait for the aggregator.
        keeps_text: Whether policy lets what users wrote be kept, by now.
        has_opinion: Whether policy names a model that gives second opinions, by now.
        opinions: Gives them; None: nobody does.
    """

    outbox: Outbox
    keeps_text: Callable[[], bool]
    has_opinion: Callable[[], bool]
    opinions: Opinions | None = None
