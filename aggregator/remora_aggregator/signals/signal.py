"""Signals as they are kept: what they say of an answer, and nothing that anybody wrote."""

from dataclasses import dataclass

from remora.learning.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that was taken.

    Attributes:
        signal_id: The sender's own; unique within the namespace.
        evidence: What it says. Its reporter is a keyed hash.
        received_unix_ns: When it came.
        dimension: What of the answer it is about; empty: all of it.
        failure_category: One of `remora.outcomes.CATEGORIES`; empty if the answer was good.
        goal: For calls whose record names none.
        text: What the user wrote; kept only if the call's bodies are captured in full.
    """

    namespace: str
    signal_id: str
    call_id: str
    evidence: Evidence
    received_unix_ns: int
    dimension: str = ""
    failure_category: str = ""
    goal: str = ""
    session_id: str = ""
    text: str = ""
