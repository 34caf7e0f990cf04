"""What can become of an answer: the one list of kinds that feedback sends."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from remora.feedback.classifier.verdict import Label


class SignalKind(StrEnum):
    """A kind of signal; `remora.learning.signals.MEANINGS` says what each is worth."""

    OUTPUT_USED_VERBATIM = "output_used_verbatim"
    OUTPUT_COPIED = "output_copied"
    OUTPUT_EDITED = "output_edited"
    OUTPUT_DISCARDED = "output_discarded"
    USER_ACCEPTED = "user_accepted"
    USER_REJECTED = "user_rejected"
    TURN_ACCEPTED = "turn_accepted"
    TURN_REJECTED = "turn_rejected"
    SESSION_CLOSING = "session_closing"
    SESSION_WIDENING = "session_widening"
    RETRY = "retry"
    ABANDONMENT = "abandonment"
    SILENCE = "silence"
    CHECK_PASSED = "check_passed"
    CHECK_FAILED = "check_failed"
    PROVIDER_ERROR = "provider_error"


ACTIONS: Final = MappingProxyType(
    {
        "verbatim": SignalKind.OUTPUT_USED_VERBATIM,
        "copied": SignalKind.OUTPUT_COPIED,
        "edited": SignalKind.OUTPUT_EDITED,
        "discarded": SignalKind.OUTPUT_DISCARDED,
    }
)
"""What can be done with an answer; the kinds' own names are taken as well."""

TURNS: Final = MappingProxyType(
    {
        Label.ACCEPTED: SignalKind.TURN_ACCEPTED,
        Label.REJECTED: SignalKind.TURN_REJECTED,
        Label.CORRECTED: SignalKind.TURN_REJECTED,
    }
)
"""What a user's next message says; a neutral one says nothing."""


def action_kind(action_type: str) -> SignalKind:
    """Give the kind of an action by its short or long name.

    Raises:
        ValueError: There is no such action.
    """
    kind = ACTIONS.get(action_type)
    if kind is None and action_type in ACTIONS.values():
        kind = SignalKind(action_type)
    if kind is None:
        raise ValueError(f"{action_type!r} is no action: give one of {', '.join(ACTIONS)}")
    return kind
