"""What selectors ask of the user's agent, data set and tracker. Types only."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Protocol

AgentFn = Callable[[dict[str, Any]], Any]
"""The agent's class: made with a model for each node, it has ``run(input)``, sync or async."""

EvalFn = Callable[[Any, Any], float | Awaitable[float]]
"""From (expected, actual) to a score: a number, or true for 1 and false for 0."""

Dataset = Sequence[tuple[Any, Any]]
"""Pairs of (input, expected)."""

ModelsConfig = Mapping[str, Sequence[Any]]
"""The candidates of each node."""


class TrackedCall(Protocol):
    """A call as the tracker shows it; tokens of the prompt include those read from a cache."""

    @property
    def session_id(self) -> str:
        """Whose it is."""

    @property
    def model(self) -> str:
        """As sent."""

    @property
    def prompt_tokens(self) -> int:
        """All of them."""

    @property
    def completion_tokens(self) -> int:
        """All of them."""

    @property
    def cache_read_tokens(self) -> int:
        """Those of the prompt that the provider had in its cache."""

    @property
    def cache_write_tokens(self) -> int:
        """Those of the prompt that the provider put there."""

    @property
    def latency_seconds(self) -> float:
        """Of an answer out of our cache: what it took when it was made."""

    @property
    def cached(self) -> bool:
        """The answer came out of our cache and was not paid for."""

    @property
    def status_code(self) -> int:
        """0 if there was no answer."""

    @property
    def error(self) -> str | None:
        """Why it failed, or why its usage is unknown."""

    @property
    def cost_usd(self) -> Decimal | None:
        """What was paid; None where no price is known."""


class TrackedSession(Protocol):
    """A session that is open."""

    @property
    def session_id(self) -> str:
        """Unique."""


class SelectorTracker(Protocol):
    """What selectors use of `remora.tracker`'s LLMTracker."""

    def start(self) -> object:
        """Begin to track; once more changes nothing."""

    def stop(self) -> object:
        """End tracking; queries stay valid."""

    def track(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
        router: Any = None,
    ) -> AbstractContextManager[TrackedSession]:
        """Open a session that calls of the current context belong to."""

    def get_records(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
    ) -> Sequence[TrackedCall]:
        """List calls that ended."""
