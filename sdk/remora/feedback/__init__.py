"""What users do with answers, told to Remora: verdicts, turns of sessions, actions.

    from remora.feedback import report_action, track_run, user_accepted

    track_run(answer)
    user_accepted()

The names are imported when they are first used; `docs/feedback.md` says what each does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remora.feedback.feedback import Feedback
    from remora.feedback.following import follow_calls
    from remora.feedback.kinds import SignalKind
    from remora.feedback.process import (
        counts,
        flush,
        flush_async,
        report_action,
        report_pipeline,
        report_session_end,
        report_user_turn,
        track_run,
        user_accepted,
        user_rejected,
    )
    from remora.feedback.sending import Counts

_PROCESS = "remora.feedback.process"
_HOMES = {
    "Counts": "remora.feedback.sending",
    "Feedback": "remora.feedback.feedback",
    "SignalKind": "remora.feedback.kinds",
    "counts": _PROCESS,
    "flush": _PROCESS,
    "flush_async": _PROCESS,
    "follow_calls": "remora.feedback.following",
    "report_action": _PROCESS,
    "report_pipeline": _PROCESS,
    "report_session_end": _PROCESS,
    "report_user_turn": _PROCESS,
    "track_run": _PROCESS,
    "user_accepted": _PROCESS,
    "user_rejected": _PROCESS,
}

__all__ = [
    "Counts",
    "Feedback",
    "SignalKind",
    "counts",
    "flush",
    "flush_async",
    "follow_calls",
    "report_action",
    "report_pipeline",
    "report_session_end",
    "report_user_turn",
    "track_run",
    "user_accepted",
    "user_rejected",
]


def __getattr__(name: str) -> Any:
    """Import one of the names."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
