"""Sessions as the control API shows them. Pure."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from remora_sidecar.engine.goal import checked_goal
from remora_sidecar.engine.sessions import ModelTotals, Session


class NewSession(BaseModel):
    """What a program may say of a session it opens.

    Attributes:
        tracker_id: Whose it is.
        goal: What its calls are for, unless they say otherwise.
        cache: Whether its calls may be answered from the cache, where policy has one.
        router: Whether its tracker's connection routes its calls.
    """

    model_config = ConfigDict(extra="forbid")

    data_id: str | None = Field(default=None, max_length=256)
    combo_id: str | None = Field(default=None, max_length=256)
    agent_id: str | None = Field(default=None, max_length=256)
    task_id: str | None = Field(default=None, max_length=256)
    tracker_id: str | None = Field(default=None, max_length=64)
    goal: Annotated[str, AfterValidator(checked_goal)] | None = None
    cache: bool = True
    router: bool = False


def session_view(session: Session) -> dict[str, Any]:
    """Show a session and its totals; money as decimal strings, null where unknown."""
    return {
        "session_id": session.session_id,
        "data_id": session.data_id or None,
        "combo_id": session.combo_id or None,
        "agent_id": session.agent_id or None,
        "task_id": session.task_id or None,
        "goal": session.goal or None,
        "created_unix_ns": session.created_unix_ns,
        "ended": session.ended,
        "in_flight": session.in_flight,
        "models": {model: _totals_view(totals) for model, totals in session.totals.items()},
    }


def _totals_view(totals: ModelTotals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        "errors": totals.errors,
        "cached": totals.cached,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "unread_usage": totals.unread_usage,
        "unpriced": totals.unpriced,
        "latency_s": totals.latency_s,
        "cost_usd": None if totals.cost_usd is None else format(totals.cost_usd, "f"),
    }
