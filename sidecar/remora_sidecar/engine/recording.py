"""A call watched from its answer's first byte on, and recorded however it ends."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from remora.errors import UpstreamError
from remora.records import CallError, CallRecord, Cost, EndReason
from remora_sidecar.dialects.base import AnswerFacts, Dialect
from remora_sidecar.dialects.framing.decoding import Decoder, decoder_for
from remora_sidecar.engine.evaluating import AnswerWatch
from remora_sidecar.engine.observation import Observation
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.refusal import key_missing
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.exchange import AnswerHead, header
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy.failures import CREDENTIAL_MISSING, Failure

logger = logging.getLogger(__name__)

_BUG = CallError("internal_error", "the call failed inside Remora")


class Recording:
    """Makes the record of one call, once.

    Attributes:
        seen: What is known of the call.
        record: What became of it; None until it is made. It is in the spool before a byte that is
            written from then on leaves.
        facts: What the provider's answer stated; None until the record is made.
        on_finish: Called with the record as soon as it is made.
    """

    def __init__(self, parts: EngineParts, seen: Observation, session: Session) -> None:
        """Take the call as its request begins."""
        self.seen = seen
        self.record: CallRecord | None = None
        self.facts: AnswerFacts | None = None
        self._parts = parts
        self._session = session
        self._decoder: Decoder | None = None
        self._text: AnswerWatch | None = None
        self._handed_over = False
        self.on_finish: Callable[[CallRecord], None] | None = None

    @property
    def call_id(self) -> str:
        """The call's id."""
        return self.seen.call_id

    @property
    def done(self) -> bool:
        """Whether the record was made."""
        return self.record is not None

    def begin_answer(self, head: AnswerHead, dialect: Dialect) -> None:
        """Take the head of the answer that the agent will get."""
        seen = self.seen
        seen.status_code = head.status
        seen.answer_headers = head.headers
        seen.reader = dialect.answer_reader(head, seen.request)
        self._decode(head)

    def begin_kept(self, head: AnswerHead) -> None:
        """Take the head of an answer that another call has paid for."""
        self.seen.status_code = head.status
        self.seen.answer_headers = head.headers
        self._decode(head)

    def _decode(self, head: AnswerHead) -> None:
        self._decoder = decoder_for(header(head.headers, b"content-encoding"))
        evaluator = self._parts.evaluator
        if evaluator is not None and self.seen.attribution.goal:
            self._text = evaluator.watch(head, self.seen, self._session)

    def pass_kept(self, data: bytes) -> None:
        """Note a piece of an answer that another call has paid for."""
        self.seen.response_capture.feed(data)
        self.seen.output_seen()
        if self._text is not None and self._decoder is not None:
            for decoded in self._decoder.feed(data):
                self._look_at(decoded)

    def _look_at(self, data: bytes) -> None:
        """Show a piece of the answer to who looks at it; a bug there must not break the call."""
        try:
            if self._text is not None:
                self._text.feed(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call goes on
            logger.error("an answer can't be looked at: %s", type(error).__name__)
            self._text = None

    def watch(self, chunk: bytes) -> bool:
        """Read a chunk; True if the answer's own format says that it is whole now."""
        seen = self.seen
        seen.response_capture.feed(chunk)
        reader, decoder = seen.reader, self._decoder
        is_stream = seen.request.stream
        if is_stream:
            seen.chunks.chunk(seen.clock.monotonic_s())
        if reader is None or decoder is None or self.record is not None:
            return False
        has_said = not is_stream
        for decoded in decoder.feed(chunk):
            has_said = reader.feed(decoded) or has_said
            if self._text is not None:
                self._look_at(decoded)
        if has_said and seen.first_output_s is None:
            seen.output_seen()
        return reader.ended

    def finish(self, end_reason: EndReason, error: CallError | None = None) -> None:
        """Make the record, unless it was made."""
        if self.done:
            return
        if (decoder := self._decoder) is not None:
            reader = self.seen.reader
            if end_reason is EndReason.COMPLETED and not (reader is not None and reader.ended):
                decoder.finish()
            self.seen.decoding_problem = decoder.problem
        parts, seen = self._parts, self.seen
        facts = self.facts = seen.facts()
        self.record = self._evaluated(seen.record(parts.prices, facts, end_reason, error), facts)
        if self.on_finish is not None:
            self.on_finish(self.record)
        settled = parts.settlement.settle(self.record, self._session, seen.request, facts)
        for record, session in settled:
            parts.recorder.take(record, session)
        parts.metrics.count_chunks(self.record, seen.chunks)

    def attempt_failed(
        self, status: int, failure: Failure, error: CallError | None, facts: AnswerFacts | None
    ) -> None:
        """Note a try that was answered, though not as the agent should be, and what it cost."""
        facts = facts or AnswerFacts()
        self.seen.attempt_failed(status, failure, error, facts.usage, self.cost_of(facts))

    def cost_of(self, facts: AnswerFacts) -> Cost | None:
        """Price what an answer states; None if there is nothing to price, or no price."""
        model = facts.model or self.seen.request.model
        return self.seen.cost(self._parts.prices, facts.usage, model, facts.service_tier)

    def no_answer(self, error: UpstreamError) -> None:
        """Record that the provider gave no answer, or was not asked for want of a key."""
        if error.kind == CREDENTIAL_MISSING:
            self.refused(key_missing(str(error)))
        else:
            self.finish(EndReason.NO_ANSWER, CallError(error.kind, str(error)))

    def refused(self, refusal: Refusal) -> None:
        """Record that Remora refused the call."""
        if not self.done:
            self.seen.refused(refusal.code)
            self.finish(EndReason.REFUSED, CallError(refusal.code, refusal.message))

    def cut(self, refusal: Refusal, *, begun: bool) -> None:
        """Record that Remora ended the call, unless others still have a part in it."""
        if self._handed_over:
            return
        if begun:
            self.finish(EndReason.STOPPED, CallError(refusal.code, refusal.message))
        else:
            self.refused(refusal)

    def finish_cached(
        self,
        facts: AnswerFacts,
        end_reason: EndReason,
        error: CallError | None = None,
        shared: CallRecord | None = None,
    ) -> None:
        """Make the record of a call whose answer another call has paid for.

        Args:
            facts: What the answer stated.
            end_reason: How it ended.
            error: Why it failed, if it did.
            shared: Of the call that asked, if it has just ended: then what was told of its answer
                holds here, too, where the goal is the same.
        """
        if self.done:
            return
        parts = self._parts
        record = self.seen.record(parts.prices, facts, end_reason, error, cached=True)
        if shared is None:
            self.record = self._evaluated(record, facts)
        elif shared.attribution.goal == record.attribution.goal:
            self.record = replace(record, outcome=shared.outcome)
        else:
            self.record = record
        if self.on_finish is not None:
            self.on_finish(self.record)
        parts.recorder.take(self.record, self._session)

    def _evaluated(self, record: CallRecord, facts: AnswerFacts) -> CallRecord:
        """Put on the record of a call with a goal what can be told of its answer."""
        evaluator, text = self._parts.evaluator, self._text
        self._text = None
        if evaluator is None or not record.attribution.goal:
            return record
        if self._decoder is not None and self._decoder.problem:
            text = None
        try:
            outcome = evaluator.outcome(record, facts, self.seen, self._session, text)
        except Exception as error:  # noqa: BLE001 - a bug must not lose the fact of the call
            logger.error("an answer can't be evaluated: %s", type(error).__name__)
            return record
        return record if outcome is None else replace(record, outcome=outcome)

    def hand_over(self) -> None:
        """Leave the record to another task, which says ``taken_over`` to `until_recorded`."""
        self._handed_over = True

    def until_recorded(self, *, taken_over: bool = False) -> "UntilRecorded":
        """Make the record, at the latest when the block ends; an agent that left is no error."""
        return UntilRecorded(self, taken_over)

    def ended(self, error: BaseException | None, *, taken_over: bool) -> bool:
        """Make the record as the carrying of the call has ended; true if that is no error."""
        gone = isinstance(error, ConnectionError)
        if self._handed_over and not taken_over:
            return gone
        if isinstance(error, asyncio.CancelledError):
            self.finish(EndReason.STOPPED if self._parts.stopping else EndReason.CLIENT_GONE)
        elif gone:
            self.finish(EndReason.CLIENT_GONE)
        else:  # a bug must not lose the fact of the call
            self.finish(EndReason.UNSPECIFIED, _BUG)
        return gone


class UntilRecorded:
    """Sees to it that a call's record is made; see `Recording.until_recorded`."""

    __slots__ = ("_recording", "_taken_over")

    def __init__(self, recording: Recording, taken_over: bool) -> None:
        """Take the recording, and whether another task handed it over."""
        self._recording = recording
        self._taken_over = taken_over

    def __enter__(self) -> None:
        """Begin to carry the call."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """End it."""
        return self._recording.ended(error, taken_over=self._taken_over)
