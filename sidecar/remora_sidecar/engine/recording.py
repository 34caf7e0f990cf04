"""A call watched from its answer's first byte on, and recorded however it ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from remora.records import CallError, EndReason
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.dialects.decoding import Decoder, decoder_for
from remora_sidecar.engine.observation import Observation
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.exchange import AnswerHead, header

_BUG = CallError("internal_error", "the call failed inside Remora")


class Recording:
    """Makes the record of one call, once.

    Attributes:
        seen: What is known of the call.
        done: The record is in the spool.
    """

    def __init__(self, parts: EngineParts, seen: Observation, session: Session) -> None:
        """Take the call as its request begins."""
        self.seen = seen
        self.done = False
        self._parts = parts
        self._session = session
        self._decoder: Decoder | None = None
        self._handed_over = False

    def begin_answer(self, head: AnswerHead, dialect: Dialect) -> None:
        """Take the head of the answer that the agent will get."""
        seen = self.seen
        seen.status_code = head.status
        seen.answer_headers = head.headers
        seen.reader = dialect.answer_reader(head, seen.request)
        self._decoder = decoder_for(header(head.headers, b"content-encoding"))

    def watch(self, chunk: bytes) -> bool:
        """Read a chunk; True if the answer's own format says that it is whole now."""
        seen = self.seen
        seen.response_capture.feed(chunk)
        reader, decoder = seen.reader, self._decoder
        if reader is None or decoder is None or self.done:
            return False
        for decoded in decoder.feed(chunk):
            if reader.feed(decoded):
                seen.output_seen()
        if not seen.request.stream:
            seen.output_seen()
        return reader.ended

    def finish(self, end_reason: EndReason, error: CallError | None = None) -> None:
        """Make the record, unless it was made."""
        if self.done:
            return
        self.done = True
        if (decoder := self._decoder) is not None:
            reader = self.seen.reader
            if end_reason is EndReason.COMPLETED and not (reader is not None and reader.ended):
                decoder.finish()
            self.seen.decoding_problem = decoder.problem
        parts, seen = self._parts, self.seen
        facts = seen.facts()
        record = seen.record(parts.prices, facts, end_reason, error)
        for settled, session in parts.settlement.settle(record, self._session, seen.request, facts):
            parts.recorder.take(settled, session)

    def hand_over(self) -> None:
        """Leave the record to another task, which has its own `until_recorded`."""
        self._handed_over = True

    @contextmanager
    def until_recorded(self) -> Iterator[None]:
        """Make the record, at the latest when the block ends; an agent that left is no error."""
        self._handed_over = False
        try:
            yield
        except asyncio.CancelledError:
            if not self._handed_over:
                stopping = self._parts.stopping
                self.finish(EndReason.STOPPED if stopping else EndReason.CLIENT_GONE)
            raise
        except ConnectionError:
            if not self._handed_over:
                self.finish(EndReason.CLIENT_GONE)
        finally:
            if not self._handed_over:  # a bug of ours must not lose the fact of the call
                self.finish(EndReason.UNSPECIFIED, _BUG)
