"""Signals as they travel. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from remora.errors import BadRequest
from remora.learning.evidence import Evidence, Source
from remora.learning.signals import MEANINGS, Meaning, edit_strength
from remora.outcomes.categories import CATEGORIES
from remora_aggregator.signals.names import (
    MAX_SESSION_ID_CHARS,
    MAX_SIGNAL_ID_CHARS,
    call_id_of,
    goal_of,
    id_of,
    name_of,
)
from remora_aggregator.signals.ports import KeptSignal, SignalSelection
from remora_aggregator.signals.reporters import reporter_hash
from remora_aggregator.signals.signal import Signal
from remora_proto.v1 import signals_pb2 as pb

MOST_SIGNALS: Final = 1_000
MOST_TEXT_CHARS: Final = 8_000
"""Of what a user wrote the beginning is kept."""

MOST_REPORTER_CHARS: Final = 1_000
AHEAD_NS: Final = 86_400 * 1_000_000_000
"""A sender's clock that is further ahead than this is not believed."""

_NS_PER_MS: Final = 1_000_000
_MOST_NS: Final = (1 << 63) - 1

ALIASES: Final[Mapping[str, Meaning]] = {
    "acceptance": MEANINGS["user_accepted"],
    "rejection": MEANINGS["user_rejected"],
    "downstream_use": MEANINGS["output_used_verbatim"],
    "edit_small": Meaning(Source.DOWNSTREAM, edit_strength(0.1)),
    "edit_large": Meaning(Source.DOWNSTREAM, edit_strength(0.5)),
    "judged": Meaning(Source.CLASSIFIED, 0.5, 0.6),
}
"""Kinds beside those of `MEANINGS`; who judges says itself how good the answer was."""

_SAYS_HOW_GOOD: Final = frozenset({"judged"})

_WRITTEN_SOURCES: Final = {
    Source.INFERRED: pb.SIGNAL_SOURCE_INFERRED,
    Source.CLASSIFIED: pb.SIGNAL_SOURCE_CLASSIFIED,
    Source.EXPLICIT: pb.SIGNAL_SOURCE_EXPLICIT,
    Source.DOWNSTREAM: pb.SIGNAL_SOURCE_DOWNSTREAM,
}
_SOURCES: Final[Mapping[int, Source]] = {
    number: source for source, number in _WRITTEN_SOURCES.items()
}
_STATES: Final = {
    "counted": pb.StoredSignal.STATE_COUNTED,
    "overruled": pb.StoredSignal.STATE_OVERRULED,
    "waiting": pb.StoredSignal.STATE_WAITING,
}


@dataclass(frozen=True, slots=True)
class Reception:
    """Who takes signals, and when.

    Attributes:
        namespace: That the sender may send in.
        key: What reporters are hashed with.
    """

    namespace: str
    key: bytes
    received_unix_ns: int


def signal_of(message: pb.Signal, reception: Reception) -> Signal:
    """Read a signal; raises BadRequest where it can never be taken."""
    signal_id = id_of(message.signal_id, "signal_id", MAX_SIGNAL_ID_CHARS)
    if not signal_id:
        raise BadRequest("signal_id is needed: whoever sends a signal again sends it again")
    category = message.failure_category
    if category and category not in CATEGORIES:
        raise BadRequest(f"failure_category is none of {', '.join(CATEGORIES)}")
    return Signal(
        namespace=reception.namespace,
        signal_id=signal_id,
        call_id=call_id_of(message.call_id),
        evidence=_evidence(message, reception),
        received_unix_ns=reception.received_unix_ns,
        dimension=name_of(message.dimension, "dimension"),
        failure_category=category,
        goal=goal_of(message.goal),
        session_id=id_of(message.session_id, "session_id", MAX_SESSION_ID_CHARS),
        text=message.text[:MOST_TEXT_CHARS].replace("\0", ""),
    )


def _evidence(message: pb.Signal, reception: Reception) -> Evidence:
    meaning = _meaning(message)
    at_unix_ns = message.at_unix_nano or reception.received_unix_ns
    at_unix_ns = min(at_unix_ns, reception.received_unix_ns + AHEAD_NS)
    reporter = id_of(message.reporter, "reporter", MOST_REPORTER_CHARS)
    return Evidence(
        meaning.source,
        meaning.strength,
        meaning.confidence,
        at_unix_ns // _NS_PER_MS,
        message.signal_id,
        message.kind,
        reporter_hash(reception.key, reception.namespace, reporter),
    )


def _meaning(message: pb.Signal) -> Meaning:
    """Say what a signal means: as its kind does, but for what it says itself."""
    kind = name_of(message.kind, "kind")
    if not kind:
        raise BadRequest("kind is needed")
    known = MEANINGS.get(kind) or ALIASES.get(kind)
    strength, confidence = _share(message, "strength"), _share(message, "confidence")
    source = _source(message.source)
    if strength is None and kind in _SAYS_HOW_GOOD:
        raise BadRequest(f"a signal of kind {kind!r} needs strength")
    if known is None:
        if strength is None or source is None:
            raise BadRequest(f"kind {kind!r} is not known: it needs strength and source")
        return Meaning(source, strength, 1.0 if confidence is None else confidence)
    return Meaning(
        source or known.source,
        known.strength if strength is None else strength,
        known.confidence if confidence is None else confidence,
    )


def _source(number: int) -> Source | None:
    if number == pb.SIGNAL_SOURCE_UNSPECIFIED:
        return None
    if (source := _SOURCES.get(number)) is None:
        raise BadRequest(f"source {number} is none that this aggregator knows")
    return source


def _share(message: pb.Signal, name: Literal["strength", "confidence"]) -> float | None:
    if not message.HasField(name):
        return None
    value: float = getattr(message, name)
    if not 0 <= value <= 1 or math.isnan(value):
        raise BadRequest(f"{name} is {value}: give a number from 0 to 1")
    return value


def selection_of(
    request: pb.QuerySignalsRequest, namespaces: frozenset[str] | None
) -> SignalSelection:
    """Read which signals are asked for, of namespaces that the caller sees.

    Raises:
        BadRequest: call_id is none.
    """
    return SignalSelection(
        namespaces=frozenset({request.namespace}) if request.namespace else namespaces,
        call_id=call_id_of(request.call_id) if request.call_id else "",
        session_id=request.session_id,
        goal=request.goal,
        kind=request.kind,
        since_unix_ns=min(request.since_unix_nano, _MOST_NS),
        until_unix_ns=min(request.until_unix_nano, _MOST_NS),
    )


def written(kept: KeptSignal) -> pb.StoredSignal:
    """Write a stored signal."""
    signal, evidence = kept.signal, kept.signal.evidence
    message = pb.Signal(
        signal_id=signal.signal_id,
        call_id=signal.call_id,
        kind=evidence.kind,
        source=_WRITTEN_SOURCES[evidence.source],
        strength=evidence.strength,
        confidence=evidence.confidence,
        at_unix_nano=max(0, evidence.at_ms * _NS_PER_MS),
        reporter=evidence.reporter,
        dimension=signal.dimension,
        failure_category=signal.failure_category,
        goal=signal.goal,
        session_id=signal.session_id,
        text=signal.text,
    )
    return pb.StoredSignal(
        signal=message,
        namespace=signal.namespace,
        received_unix_nano=signal.received_unix_ns,
        state=_STATES[kept.state],
        arm=kept.arm,
    )
