"""What the engine needs of who looks at answers: whether they are any good, told on the record."""

from typing import Protocol

from remora.records import CallRecord, Outcome
from remora_sidecar.dialects.base import AnswerFacts
from remora_sidecar.engine.observation import Observation
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.exchange import AnswerHead


class AnswerWatch(Protocol):
    """Looks at one answer while it passes."""

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes of the body."""
        ...


class Evaluator(Protocol):
    """Says what can be told of answers without asking anybody; asked of calls with a goal only."""

    def watch(self, head: AnswerHead, seen: Observation, session: Session) -> AnswerWatch | None:
        """Begin to look at an answer; None if nothing can be told of its text."""
        ...

    def outcome(
        self,
        record: CallRecord,
        facts: AnswerFacts,
        seen: Observation,
        session: Session,
        watch: AnswerWatch | None,
    ) -> Outcome | None:
        """Say what is to be told of a call that ended; quick, since its last byte waits.

        Args:
            record: As it stands, without an outcome.
            facts: What the answer stated.
            seen: Of the call.
            session: Whose call it is.
            watch: Of the answer that the agent gets; None if there is none.
        """
        ...
