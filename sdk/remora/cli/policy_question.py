"""What `remora policy explain` asks the sidecar's part, and what it is told: frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from remora.receipt import Receipt
from remora.records import Attribution, Usage

if TYPE_CHECKING:
    from remora.policy import EffectivePolicy

ANSWERS = "remora.policy_answers"
"""Entry-point group in which the sidecar's part names what answers a `PolicyQuestion`."""


@dataclass(frozen=True, slots=True)
class UnsentRequest:
    """A request that nobody sends.

    Attributes:
        url: In full; what it holds of credentials is shown to nobody.
        headers: As an agent would send them, but for Host and framing.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """What would a policy make of a request?

    Attributes:
        labels: Of the pod that sends it; None: those of the sidecar's settings.
        attribution: Whose call it is; what is empty is left to the request's own headers.
        asked_unix_ns: When.
        used: What it used, of a request that was sent once; None where nobody knows.
    """

    policy: "EffectivePolicy"
    request: UnsentRequest
    asked_unix_ns: int
    labels: Mapping[str, str] | None = None
    attribution: Attribution = field(default_factory=Attribution)
    used: Usage | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """One place that the request would be sent to.

    Attributes:
        url: Without credentials; empty where the request can't be made to ask for the model.
        key: Whose it would carry: ``policy``, ``agent`` or ``none``.
        problem: Why it can't be sent there, such as a key that is missing; empty if it can.
    """

    provider: str
    model: str
    url: str
    key: str
    problem: str = ""

    @property
    def name(self) -> str:
        """Name it as receipts do."""
        return f"{self.provider}/{self.model}" if self.model else self.provider


@dataclass(frozen=True, slots=True)
class Patience:
    """How often each stop is tried and how long things may take; None for no bound."""

    tries: int = 1
    first_pause_s: float = 0.0
    longest_pause_s: float = 0.0
    connect_s: float | None = None
    first_byte_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class CacheForecast:
    """What the cache would do.

    Attributes:
        reads: An answer that it has would be given.
        writes: A new answer would be kept.
        reason: Why not both, in a word; empty if both, or where policy has no cache.
    """

    reads: bool = False
    writes: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ForeseenRefusal:
    """Why the request would be refused, as its agent would be told."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What a policy would make of a request.

    Attributes:
        receipt: The decision; None where the request is no call that policy intercepts.
        stops: Where it would go: the chosen one, then those to fall back on.
        cache: Of the first stop; None where the request is refused.
        capture: What would be kept of prompt and answer.
        notes: What a person should know and no other field says.
    """

    method: str
    url: str
    provider: str = ""
    dialect: str = ""
    operation: str = ""
    model: str = ""
    receipt: Receipt | None = None
    refusal: ForeseenRefusal | None = None
    stops: tuple[Stop, ...] = ()
    patience: Patience = Patience()
    cache: CacheForecast | None = None
    capture: str = ""
    notes: tuple[str, ...] = ()
