"""What may be asked of scores, router versions and signals. Pure."""

from typing import Annotated

from pydantic import Field

from remora.policy.quantities import Duration
from remora_aggregator.service.signal_service import PAGE_SIGNALS
from remora_aggregator.signals.timeline import DEFAULT_POINTS, MOST_POINTS
from remora_aggregator.web.parameters import Parameters, Span, Text

_SINCE = (
    "Calls that began then or later: a span back from now (`30m`, `7d`) or a time. Default: 7 days."
)


class NamespaceParameters(Parameters):
    """Whose router versions."""

    namespace: Text = Field(default="", description="Default: the caller's own.")


class ScoreParameters(NamespaceParameters):
    """Which goals, and over which time."""

    goal: Text = Field(default="", description="Default: all, newest calls first.")
    workload: Text = Field(default="", description="Only of this workload's calls.")
    window: Span = Field(
        default="7d", description="What rates, trends, failures and insights are of, until now."
    )

    @property
    def window_s(self) -> int:
        """The window in seconds."""
        return Duration.parse(self.window).milliseconds // 1_000


class TimelineParameters(NamespaceParameters):
    """Of which goal, and over which time."""

    goal: Annotated[str, Field(min_length=1, max_length=1_000)]
    since: Text = Field(default="", description=_SINCE)
    until: Text = Field(default="", description="Calls that began before; as `since`.")
    points: int = Field(
        default=DEFAULT_POINTS, ge=1, le=MOST_POINTS, description="Pieces of time, at most."
    )


class BenchmarkParameters(Parameters):
    """Of which calls."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    goal: Text = Field(default="", description="Only calls for this goal.")
    since: Text = Field(default="", description=_SINCE)
    until: Text = Field(default="", description="Calls that began before; as `since`.")


class DiffParameters(NamespaceParameters):
    """Which versions."""

    old: int = Field(default=0, ge=0, description="Default: the one in force.")
    new: int = Field(default=0, ge=0, description="Default: scores as they are now.")


class SignalListParameters(Parameters):
    """Which signals."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    call_id: Text = ""
    session_id: Text = ""
    goal: Text = ""
    kind: Text = Field(default="", description="What happened, such as `user_rejected`.")
    since: Text = Field(default="", description="Those that came then or later; as elsewhere.")
    until: Text = Field(default="", description="Those that came before.")
    limit: int = Field(default=100, ge=1, le=PAGE_SIGNALS, description="Signals in one answer.")
    cursor: Text = Field(default="", description="Go on after it; `next` of the page before.")
