"""What happens in sessions, and what it says of answers. For one thread at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from remora.client.signal import Signal
from remora.clock import Clock
from remora.feedback.checking import MOST_TEXT_CHARACTERS, sendable
from remora.feedback.classifier import ASK_BELOW, STRENGTHS, Label, classify
from remora.feedback.conversation import Conversation
from remora.feedback.edits import Edit, as_diff, worth_of
from remora.feedback.kinds import TURNS, SignalKind
from remora.feedback.momentum import Momentum
from remora.feedback.sending import Sending
from remora.feedback.sessions import SessionStore
from remora.ids import new_call_id

MOST_OPINION_CONFIDENCE: Final = 0.9
"""Language models are surer than they are right."""
_MOMENTUM_KINDS = {
    Momentum.CLOSING: SignalKind.SESSION_CLOSING,
    Momentum.WIDENING: SignalKind.SESSION_WIDENING,
}
_NS = 1_000_000_000


class _Found(NamedTuple):
    """What a message says; without a label nobody is sure."""

    label: Label | None = None
    confidence: float = 0.0
    dimension: str = ""


_NOTHING = _Found()


def new_signal(clock: Clock, call_id: str, kind: SignalKind, **said: Any) -> Signal:
    """Make a signal of now.

    Args:
        clock: Tells the time.
        call_id: Of the call that it is about.
        kind: What happened.
        **said: Further fields of it.
    """
    now_unix_ns = clock.now_unix_ns()
    bare = Signal(
        call_id=call_id,
        kind=kind.value,
        signal_id=new_call_id(now_unix_ns),
        at_unix_ns=now_unix_ns,
    )
    return replace(bare, **said)


class Conversations:
    """Follows sessions and reports what they say of answers."""

    def __init__(self, store: SessionStore, sending: Sending, clock: Clock) -> None:
        """Take where sessions are kept and where signals go."""
        self.is_used = False
        self._store = store
        self._sending = sending
        self._clock = clock

    def begin_anew_after_fork(self) -> None:
        """Go on in a child of the process."""
        self._store.begin_anew_after_fork()

    def answer(self, session_id: str, goal: str, prompt: str, output: str, call_id: str) -> None:
        """Take an answer that a session's user is shown."""
        self._change(
            session_id,
            lambda known: known.with_answer(
                call_id, goal, prompt=prompt, output=output, now_s=self._now_s()
            ),
        )

    def message(self, session_id: str, message: str, reporter: str) -> None:
        """Judge what a user wrote after the latest answer."""
        known = self._looked_up(session_id)
        # Not while the session is held: a second opinion takes its time.
        found = self._found(known, session_id, message)
        self._say_turn(known, session_id, found, message, reporter)
        self._change(session_id, lambda now: now.with_message(message, found.label, self._now_s()))

    def action(
        self, session_id: str, kind: SignalKind, edit: Edit | None, call_id: str, reporter: str
    ) -> None:
        """Take what was done with an answer; the latest one if no call is given."""

        def acted(known: Conversation) -> Conversation:
            about = call_id or known.call_id
            if about:
                self._sending.add(self._action(about, kind, edit, known, session_id, reporter))
            else:
                self._sending.tell(
                    "an action is about no known answer: call report_pipeline before, or give "
                    "call_id"
                )
            return known.with_reaction(self._now_s())

        self._change(session_id, acted)

    def end(self, session_id: str) -> None:
        """End a session."""
        self._change(session_id, lambda known: self._ended(known, session_id))

    def sweep(self) -> None:
        """End the sessions that have expired."""
        for known in self._store.take_expired(self._now_s()):
            self._ended(known, known.session_id)

    def _looked_up(self, session_id: str) -> Conversation:
        seen = Conversation(session_id)

        def look(known: Conversation) -> Conversation | None:
            nonlocal seen
            seen = known
            return known if known.changed_s else None

        self._change(session_id, look)
        return seen

    def _change(
        self, session_id: str, change: Callable[[Conversation], Conversation | None]
    ) -> None:
        self.is_used = True

        def changed(known: Conversation) -> Conversation | None:
            if known.has_expired(self._now_s()):
                self._ended(known, session_id)
                known = Conversation(session_id)
            return change(known)

        try:
            self._store.change(session_id, changed)
        except OSError as error:
            self._sending.tell(f"sessions can't be kept: {error.strerror or type(error).__name__}")

    def _found(self, known: Conversation, session_id: str, message: str) -> _Found:
        """Say what a message says; asks for a second opinion where the first is not sure enough."""
        verdict = classify(message, known.context)
        first = _NOTHING if verdict.is_guess else _Found(verdict.label, verdict.confidence)
        if not known.call_id or verdict.confidence >= self._sending.wanted().opinion_below:
            return first
        opinion = self._sending.opinion(session_id, known.goal, message, known.context)
        if opinion is None or opinion.confidence < ASK_BELOW:
            return first
        dimension = opinion.dimensions[0].value if len(opinion.dimensions) == 1 else ""
        return _Found(opinion.label, min(opinion.confidence, MOST_OPINION_CONFIDENCE), dimension)

    def _say_turn(
        self, known: Conversation, session_id: str, found: _Found, message: str, reporter: str
    ) -> None:
        if found.label is None or not known.call_id:
            return
        if (kind := TURNS.get(found.label)) is None:
            return
        is_rejection = kind is SignalKind.TURN_REJECTED
        signal = new_signal(
            self._clock,
            known.call_id,
            kind,
            strength=STRENGTHS[found.label],
            confidence=found.confidence,
            reporter=reporter,
            dimension=found.dimension,
            failure_category="user_unsatisfied" if is_rejection else "",
            goal=known.goal,
            session_id=session_id,
            text=sendable(message),
        )
        self._sending.add(signal)

    def _action(
        self,
        call_id: str,
        kind: SignalKind,
        edit: Edit | None,
        known: Conversation,
        session_id: str,
        reporter: str,
    ) -> Signal:
        is_edit = kind is SignalKind.OUTPUT_EDITED and edit is not None
        words = known.answer_words if call_id == known.call_id else 0
        return new_signal(
            self._clock,
            call_id,
            kind,
            strength=worth_of(edit, words) if is_edit and edit is not None else None,
            reporter=reporter,
            goal=known.goal,
            session_id=session_id,
            text="" if edit is None else sendable(as_diff(edit, MOST_TEXT_CHARACTERS)),
        )

    def _ended(self, known: Conversation, session_id: str) -> None:
        """Tell what the end of a session says of its last answer."""
        if not known.call_id:
            return
        kind = _MOMENTUM_KINDS.get(known.momentum)
        if kind is None and known.is_unanswered:
            kind = SignalKind.SILENCE
        if kind is not None:
            said = {"goal": known.goal, "session_id": session_id}
            self._sending.add(new_signal(self._clock, known.call_id, kind, **said))

    def _now_s(self) -> float:
        return self._clock.now_unix_ns() / _NS
