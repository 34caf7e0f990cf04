"""One evaluation: what came of an agent with one combination on one datapoint. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple


class Cell(NamedTuple):
    """Which evaluation: numbers of combination and datapoint, counted from 0."""

    combination: int
    datapoint: int


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What counts of a call.

    Attributes:
        model: As sent.
        prompt_tokens: All of the prompt, those of the next two included.
        cache_read_tokens: Those that the provider had in its cache.
        cache_write_tokens: Those that it put there.
        cached: The answer came out of our cache.
        latency_seconds: Of an answer out of our cache: what it took when it was made.
        status_code: 0 if there was no answer.
        cost_usd: What was paid; None if unknown.
        saved_usd: Of an answer out of our cache: what it would have cost; None if unknown.
    """

    model: str
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cached: bool
    latency_seconds: float
    status_code: int
    cost_usd: Decimal | None
    saved_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Bill:
    """What the calls of an evaluation used.

    Attributes:
        input_tokens: By model.
        output_tokens: By model.
        cost_usd: What they cost a run that has no cache; None if a price is unknown.
        paid_usd: What they cost this run; None if unknown.
        unknown: Why a sum is unknown, such as models without a price.
        cached_latency_seconds: What answers out of the cache took when they were made.
    """

    input_tokens: Mapping[str, int] = field(default_factory=dict)
    output_tokens: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal | None = Decimal(0)
    paid_usd: Decimal | None = Decimal(0)
    unknown: tuple[str, ...] = ()
    cached_latency_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of one.

    Attributes:
        score: 0 if it failed.
        latency_seconds: Of the agent's run, as if nothing had come out of a cache.
        calls: What the agent's calls used.
        bill: What that comes to.
        error: Why it failed; None if it did not.
    """

    cell: Cell
    score: float
    latency_seconds: float
    calls: tuple[CallFacts, ...]
    bill: Bill
    error: str | None = None

    @property
    def has_failed(self) -> bool:
        """The agent or the evaluation of its answer raised, or the score is no number."""
        return self.error is not None
