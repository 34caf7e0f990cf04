"""Signals as programs send them and as an aggregator keeps them: values, and their wire form."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import NamedTuple

from remora.learning.evidence import Source
from remora_proto.v1 import signals_pb2 as pb

MOST_SIGNALS = 1_000
"""In one request."""

_SOURCES = {source.value: source for source in Source}
_STATES = {
    pb.StoredSignal.STATE_COUNTED: "counted",
    pb.StoredSignal.STATE_OVERRULED: "overruled",
    pb.StoredSignal.STATE_WAITING: "waiting",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What somebody or something says of an answer.

    Attributes:
        call_id: Of the call that gave the answer.
        kind: What happened, such as ``user_rejected``; one that `remora.learning.signals` does
            not know needs source and strength.
        signal_id: The sender's own: who sends it again sends this again, and it counts once.
        source: None: as the kind says; so ``strength`` and ``confidence``, both from 0 to 1.
        at_unix_ns: When it arose; 0: when it comes.
        reporter: Whose it is, in a form that names nobody, as `remora.feedback.reporters` gives.
        dimension: What of the answer it is about; empty: all of it.
        failure_category: Why the answer was no good; empty if it was, or unknown.
        goal: For calls whose record names none.
    """

    call_id: str
    kind: str
    signal_id: str = ""
    source: Source | None = None
    strength: float | None = None
    confidence: float | None = None
    at_unix_ns: int = 0
    reporter: str = ""
    dimension: str = ""
    failure_category: str = ""
    goal: str = ""
    session_id: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """A signal as an aggregator keeps it.

    Attributes:
        signal: What was sent; its reporter is a hash.
        state: ``counted``: its answer is judged by it; ``overruled``: a better one counts;
            ``waiting``: its call's record has not come. Empty if this release does not know it.
        arm: Of the call, as ``provider/model`` with parameters; empty while it waits.
    """

    signal: Signal
    namespace: str
    received_unix_ns: int
    state: str
    arm: str


class Refused(NamedTuple):
    """A signal that is never stored.

    Attributes:
        position: Among those that were sent, from 0.
    """

    position: int
    reason: str


class Sent(NamedTuple):
    """What became of signals.

    Attributes:
        accepted: Stored, those that were known before included.
        known: Of these, how many were known before.
        waiting: Of these, how many wait for their call's record.
        refused: Those that are never stored.
    """

    accepted: int = 0
    known: int = 0
    waiting: int = 0
    refused: tuple[Refused, ...] = ()

    def plus(self, other: "Sent", after: int) -> "Sent":
        """Add what became of signals that were sent after so many others."""
        moved = (one._replace(position=one.position + after) for one in other.refused)
        return Sent(
            self.accepted + other.accepted,
            self.known + other.known,
            self.waiting + other.waiting,
            (*self.refused, *moved),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFilter:
    """Which signals are asked for; what is empty does not filter.

    Attributes:
        namespace: Empty: the caller's own, or all that it may read if it has none.
        since_unix_ns: Those that came then or later.
        until_unix_ns: Those that came before; 0: without end.
    """

    namespace: str = ""
    call_id: str = ""
    session_id: str = ""
    goal: str = ""
    kind: str = ""
    since_unix_ns: int = 0
    until_unix_ns: int = 0


def send_requests(signals: Sequence[Signal], namespace: str) -> list[pb.SendSignalsRequest]:
    """Make the requests that send signals, as few as there can be."""
    return [
        pb.SendSignalsRequest(namespace=namespace, signals=map(signal_message, some))
        for some in batched(signals, MOST_SIGNALS)
    ]


def query_request(wanted: SignalFilter, limit: int, cursor: str) -> pb.QuerySignalsRequest:
    """Make the request for a page of signals."""
    return pb.QuerySignalsRequest(
        namespace=wanted.namespace,
        call_id=wanted.call_id,
        session_id=wanted.session_id,
        goal=wanted.goal,
        kind=wanted.kind,
        since_unix_nano=wanted.since_unix_ns,
        until_unix_nano=wanted.until_unix_ns,
        limit=limit,
        cursor=cursor,
    )


def signal_message(signal: Signal) -> pb.Signal:
    """Make the wire form of a signal."""
    message = pb.Signal(
        signal_id=signal.signal_id,
        call_id=signal.call_id,
        kind=signal.kind,
        strength=signal.strength,
        confidence=signal.confidence,
        at_unix_nano=signal.at_unix_ns,
        reporter=signal.reporter,
        dimension=signal.dimension,
        failure_category=signal.failure_category,
        goal=signal.goal,
        session_id=signal.session_id,
        text=signal.text,
    )
    if signal.source is not None:
        message.source = signal.source.value  # type: ignore[assignment]  # the enum's wire number
    return message


def _signal_of(message: pb.Signal) -> Signal:
    return Signal(
        signal_id=message.signal_id,
        call_id=message.call_id,
        kind=message.kind,
        source=_SOURCES.get(message.source),
        strength=message.strength if message.HasField("strength") else None,
        confidence=message.confidence if message.HasField("confidence") else None,
        at_unix_ns=message.at_unix_nano,
        reporter=message.reporter,
        dimension=message.dimension,
        failure_category=message.failure_category,
        goal=message.goal,
        session_id=message.session_id,
        text=message.text,
    )


def stored_signal_of(message: pb.StoredSignal) -> StoredSignal:
    """Read a signal that is kept."""
    return StoredSignal(
        _signal_of(message.signal),
        message.namespace,
        message.received_unix_nano,
        _STATES.get(message.state, ""),
        message.arm,
    )


def sent_of(message: pb.SendSignalsResponse) -> Sent:
    """Read what became of signals."""
    refused = tuple(Refused(one.index, one.reason) for one in message.refused)
    return Sent(message.accepted, message.known, message.waiting, refused)
