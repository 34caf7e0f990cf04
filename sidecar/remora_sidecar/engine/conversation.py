"""A tunnel that is watched: each turn of the conversation in it becomes a record of its own.

The tunnel shows each piece before it sends it on, so a turn's record is in the spool before the
piece that ends the turn leaves. Whatever goes wrong here, the pieces go on.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from remora.ids import new_call_id
from remora.records import CallError, CallRecord, EndReason
from remora_sidecar.dialects.base import (
    AnswerFacts,
    Completeness,
    Conversation,
    ConversationDialect,
    Dialect,
    Turn,
)
from remora_sidecar.dialects.framing.websocket import Close, MessageReader
from remora_sidecar.engine.observation import BodyCapture, Observation, Waiting
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.recording import Recording
from remora_sidecar.engine.sessions import Session
from remora_sidecar.engine.tunnel import End
from remora_sidecar.model.exchange import Headers, header

logger = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000
_Take = Callable[[bytes, float], Sequence[Turn]]


class TunnelWatch:
    """Sees the pieces of one tunnel and records what they carry."""

    def __init__(
        self,
        parts: EngineParts,
        seen: Observation,
        session: Session,
        dialect: Dialect,
        on_turn: Callable[[CallRecord], None] | None = None,
    ) -> None:
        """Take the call that was upgraded; its answer's head was seen.

        Args:
            parts: The engine's.
            seen: What is known of the call.
            session: Whose call it is.
            dialect: The call's.
            on_turn: Called with the record of each turn.
        """
        self._on_turn = on_turn
        self._parts = parts
        self._seen = seen
        self._session = session
        self._conversation: Conversation | None = None
        self._closed_by: End | None = None
        self._turns = 0
        self._late_notes: list[str] = []
        extensions = _extensions(seen.answer_headers)
        self._agent = MessageReader(from_client=True, extensions=extensions)
        self._provider = MessageReader(from_client=False, extensions=extensions)
        if isinstance(dialect, ConversationDialect):
            kept_bytes = seen.request_capture.limit
            self._conversation = dialect.conversation(seen.request, kept_bytes)
            seen.reader = _ConnectionReader(self._conversation)

    def from_agent(self, piece: bytes) -> None:
        """See what the agent sent."""
        self._seen.request_capture.feed(piece)
        if self._conversation is not None:
            self._watch(self._agent, End.AGENT, piece, self._conversation.from_agent)

    def from_provider(self, piece: bytes) -> None:
        """See what the provider sent."""
        self._seen.response_capture.feed(piece)
        if self._conversation is not None:
            self._watch(self._provider, End.PROVIDER, piece, self._conversation.from_provider)

    def finish(self, closed_by: End | None) -> bool:
        """Record what the end of the connection cut short.

        Args:
            closed_by: None where the call was cancelled: the agent is gone, or the sidecar
                was told to stop.

        Returns:
            Whether the connection carried turns, so that it needs no record of its own.
        """
        if self._conversation is None:
            return False
        reason = self._end_reason(closed_by)
        try:
            self._record_all(self._conversation.finish(), reason)
        except Exception:  # noqa: BLE001 - whatever it is, the tunnel goes on
            self._give_up()
        if not self._turns:
            self._seen.notes.extend(self._notes())
        return self._turns > 0

    def _watch(self, reader: MessageReader, end: End, piece: bytes, take: _Take) -> None:
        try:
            for message in reader.feed(piece):
                if turns := take(message, self._parts.clock.monotonic_s()):
                    self._record_all(turns, EndReason.COMPLETED)
        except Exception:  # noqa: BLE001 - whatever it is, the tunnel goes on
            self._give_up()
        if self._closed_by is None and reader.closing is not None:
            self._closed_by = end

    def _give_up(self) -> None:
        """A bug of ours must not break the tunnel."""
        logger.exception("a conversation can't be watched any longer; it is relayed all the same")
        self._agent.problem = self._provider.problem = "watching it failed inside Remora"

    def _end_reason(self, closed_by: End | None) -> EndReason:
        if closed_by is None and self._parts.stopping:
            return EndReason.STOPPED
        left = self._closed_by or closed_by
        return EndReason.PROVIDER_CUT if left is End.PROVIDER else EndReason.CLIENT_GONE

    def _record_all(self, turns: Iterable[Turn], end_reason: EndReason) -> None:
        for turn in turns:
            if turn.facts.completeness is Completeness.CUT:
                self._record(turn, end_reason, self._cut_error(end_reason))
            else:
                self._record(turn, EndReason.COMPLETED)

    def _cut_error(self, end_reason: EndReason) -> CallError | None:
        if end_reason is not EndReason.PROVIDER_CUT:
            return None
        text = "the provider closed the connection before the response was whole"
        return CallError("provider_cut", text + _said(self._provider.closing))

    def _record(self, turn: Turn, end_reason: EndReason, error: CallError | None = None) -> None:
        self._turns += 1
        seen = self._observed(turn)
        seen.attempt_ended(seen.status_code, turn.facts.error or error)
        recording = Recording(self._parts, seen, self._session)
        recording.on_finish = self._on_turn
        recording.finish(end_reason, error)

    def _observed(self, turn: Turn) -> Observation:
        """Make the turn a call of its own, on the connection's account."""
        clock, limit = self._parts.clock, self._seen.request_capture.limit
        now_ns, took_s = clock.now_unix_ns(), clock.monotonic_s() - turn.started_s
        first = turn.first_output_s
        return replace(
            self._seen,
            call_id=new_call_id(now_ns),
            started_unix_ns=now_ns - round(took_s * _NS_PER_S),
            started_s=turn.started_s,
            request=turn.request,
            request_content_type="application/json",
            request_capture=_captured(turn.asked, turn.request_bytes, limit),
            response_capture=_captured(turn.answered, turn.response_bytes, limit),
            waiting=Waiting(clock, total_s=took_s),
            reader=_TurnReader(turn.facts),
            first_output_s=None if first is None else first - turn.started_s,
            asked_model=None,
            attempts=[],
            attempt_started_s=turn.started_s,
            notes=[f"on connection {self._seen.call_id}", *turn.notes, *self._notes()],
        )

    def _notes(self) -> list[str]:
        """Take what is to be said of the connection and was not yet."""
        notes: list[str] = []
        if self._conversation is not None:
            notes += self._conversation.take_notes()
        for sender, reader in (("agent", self._agent), ("provider", self._provider)):
            if reader.problem and sender not in self._late_notes:
                self._late_notes.append(sender)
                notes.append(f"the {sender}'s messages are not read any more: {reader.problem}")
            if reader.skipped:
                notes.append(f"{reader.skipped} messages of the {sender} were too large to be read")
                reader.skipped = 0
        return notes


class _TurnReader:
    """Gives what a turn stated to the call that it became."""

    ended = True

    def __init__(self, facts: AnswerFacts) -> None:
        self._facts = facts

    def feed(self, data: bytes) -> bool:
        return False

    def finish(self) -> AnswerFacts:
        return self._facts


class _ConnectionReader:
    """Gives what was stated of a connection."""

    ended = False

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def feed(self, data: bytes) -> bool:
        return False

    def finish(self) -> AnswerFacts:
        return self._conversation.facts


def _captured(kept: bytes, total: int, limit: int) -> BodyCapture:
    capture = BodyCapture(limit)
    capture.feed(kept)
    capture.total = max(total, len(kept))
    return capture


def _extensions(headers: Headers) -> str:
    return header(headers, b"sec-websocket-extensions") or ""


def _said(close: Close | None) -> str:
    return "" if close is None else f" ({close.code} {close.reason[:200]})".replace(" )", ")")
