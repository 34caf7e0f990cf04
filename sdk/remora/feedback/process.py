"""The feedback of this process, as its environment says: what `remora.feedback` gives."""

from remora.feedback.feedback import Feedback
from remora.feedback.sending import Counts
from remora.feedback.settings import read_feedback_settings

_settings = read_feedback_settings()
_own = Feedback(session_dir=_settings.feedback_dir, is_on=_settings.feedback == "on")

track_run = _own.track_run
user_accepted = _own.user_accepted
user_rejected = _own.user_rejected
report_pipeline = _own.report_pipeline
report_user_turn = _own.report_user_turn
report_session_end = _own.report_session_end
report_action = _own.report_action
flush = _own.flush
flush_async = _own.flush_async


def counts() -> Counts:
    """Say what became of signals so far."""
    return _own.counts
