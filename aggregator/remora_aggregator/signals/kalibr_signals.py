"""What Kalibr's clients mean by a signal: evidence, or nothing. Pure.

Their kinds, sources and figures are read with what the client is known to send: a default strength
of 0.5 says nothing, and the end of a session calls itself explicit.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from remora.learning.evidence import Evidence, Source

ANCHOR: Final = "pipeline_anchor"
_SESSION_END: Final = "session_end_inferred"
_NO_DIRECTION: Final = 0.5
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class SaidSignal:
    """A signal as it was sent, with whatever was not sent as by default.

    Attributes:
        kind: Its ``signal_type``.
        source: Its ``signal_source``; empty: not said.
        strength: From 0 to 1; None: not said. So `confidence`.
        momentum: ``closing``, ``widening``, ``flat`` or empty.
        is_session_end: Whether its evidence says that it is about how a session ended.
        step: Of the pipeline.
    """

    kind: str
    source: str = ""
    strength: float | None = None
    confidence: float | None = None
    momentum: str = ""
    dimensions: tuple[str, ...] = ()
    is_session_end: bool = False
    session_id: str = ""
    step: int = 0


class _Meaning(NamedTuple):
    """What a kind means.

    Attributes:
        source: None: as its ``signal_source`` says.
        strength: Where the sender's says nothing, or points the other way.
        most: The greatest confidence.
    """

    name: str
    source: Source | None
    strength: float
    most: float = 1.0


_ACCEPTED: Final = _Meaning("user_accepted", None, 0.85)
_REJECTED: Final = _Meaning("user_rejected", None, 0.0)
_KINDS: Final[Mapping[str, _Meaning]] = {
    **dict.fromkeys(("user_accepted", "acceptance", "accepted", "positive"), _ACCEPTED),
    **dict.fromkeys(("user_rejected", "rejection", "rejected", "negative"), _REJECTED),
    "output_used_verbatim": _Meaning("output_used_verbatim", Source.DOWNSTREAM, 1.0),
    "output_copied": _Meaning("output_copied", Source.DOWNSTREAM, 0.9),
    "output_edited": _Meaning("output_edited", Source.DOWNSTREAM, 0.4),
    "output_discarded": _Meaning("output_discarded", Source.DOWNSTREAM, 0.0),
    "downstream_use": _Meaning("output_used_verbatim", Source.DOWNSTREAM, 1.0),
    "edit_small": _Meaning("output_edited", Source.DOWNSTREAM, 0.8),
    "edit_large": _Meaning("output_edited", Source.DOWNSTREAM, 0.2),
    "action_copy": _Meaning("output_copied", Source.DOWNSTREAM, 0.8),
    "action_share": _Meaning("output_used_verbatim", Source.DOWNSTREAM, 0.8),
    "action_save": _Meaning("output_used_verbatim", Source.DOWNSTREAM, 0.8),
    "action_dismiss": _Meaning("output_discarded", Source.DOWNSTREAM, 0.3),
    "retry": _Meaning("retry", Source.INFERRED, 0.2, 0.3),
    "abandonment": _Meaning("abandonment", Source.INFERRED, 0.3, 0.2),
}
_CLOSING: Final = _Meaning("session_closing", Source.INFERRED, 0.65, 0.4)
_WIDENING: Final = _Meaning("session_widening", Source.INFERRED, 0.25, 0.4)
_SESSION_KINDS: Final = frozenset({"session_end", "session_momentum"})
_SOURCES: Final[Mapping[str, Source]] = {
    "downstream": Source.DOWNSTREAM,
    "user_explicit": Source.EXPLICIT,
    "user_implicit": Source.CLASSIFIED,
}
_TURNS: Final[Mapping[str, str]] = {
    "user_accepted": "turn_accepted",
    "user_rejected": "turn_rejected",
}
"""What kinds are called where a message was classified."""

_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def evidence_of(said: SaidSignal, call_id: str, now_ms: int) -> Evidence | None:
    """Say what a signal tells of an answer; None: nothing, it only names a run.

    A kind that nobody knows counts as what its source and its strength say, and for nothing where
    it has no strength.
    """
    if said.kind == ANCHOR:
        return None
    meaning = _meaning(said)
    source = meaning.source or _SOURCES.get(said.source, Source.INFERRED)
    name = _TURNS.get(meaning.name, meaning.name) if source is Source.CLASSIFIED else meaning.name
    signal_id = signal_id_of(said, call_id, now_ms)
    strength, confidence = _figures(said, meaning)
    return Evidence(source, strength, confidence, now_ms, signal_id, name)


def _meaning(said: SaidSignal) -> _Meaning:
    known = _KINDS.get(said.kind)
    if said.is_session_end or said.kind in _SESSION_KINDS:
        if known is _ACCEPTED or (known is None and said.momentum == "closing"):
            return _CLOSING
        if known is _REJECTED or (known is None and said.momentum == "widening"):
            return _WIDENING
        return _Meaning("session_end", Source.INFERRED, _NO_DIRECTION, 0.0)
    if known is not None:
        return known
    most = 0.0 if said.strength is None else 1.0
    return _Meaning(word_of(said.kind) or "other", None, _NO_DIRECTION, most)


def _figures(said: SaidSignal, meaning: _Meaning) -> tuple[float, float]:
    """Give strength and confidence; a strength that the kind contradicts is not believed."""
    strength = meaning.strength if said.strength is None else said.strength
    side, wanted = strength - _NO_DIRECTION, meaning.strength - _NO_DIRECTION
    if wanted and side * wanted <= 0:
        strength = meaning.strength
    confidence = 1.0 if said.confidence is None else said.confidence
    return strength, min(confidence, meaning.most)


def signal_id_of(said: SaidSignal, call_id: str, now_ms: int) -> str:
    """Name a signal by what it says and when, to the minute: sent again, it is the same one."""
    shown = [
        call_id, said.kind, said.source, said.strength, said.confidence, said.momentum,
        list(said.dimensions), said.session_id, said.step, now_ms // _MINUTE_MS,
    ]  # fmt: skip
    return f"kalibr-{hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32]}"


def failure_category_of(evidence: Evidence) -> str:
    """Give why an answer was no good, by a signal: somebody rejected it."""
    is_rejection = evidence.kind in ("user_rejected", "turn_rejected", "output_discarded")
    return "user_unsatisfied" if is_rejection else ""


def words_of(values: Sequence[object]) -> tuple[str, ...]:
    """Keep what is one plain word, in small letters; anything else may be somebody's text."""
    words = (word_of(str(value)) for value in values if isinstance(value, str))
    return tuple(dict.fromkeys(word for word in words if word))[:8]


def word_of(text: str) -> str:
    """Give a plain word in small letters; empty for anything else."""
    word = text.strip().lower()
    return word if _WORD.fullmatch(word) else ""


def is_about_session_end(raw_evidence: str) -> bool:
    """Tell whether the raw evidence is the client's own note about the end of a session."""
    return raw_evidence.strip() == _SESSION_END
