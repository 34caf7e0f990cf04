"""An answer held back until it is known to be one: the commit point (rule 3 of the design).

A route with retry or fallback wants to know whether an attempt failed before the agent sees a
byte. Of a stream the start-up events are held until the model says something; of another answer
the body, since a 200 may hold an error. What is held is bounded: past the bounds it goes.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum

import aiohttp

from remora.errors import UpstreamError
from remora.records import CallError
from remora_sidecar.dialects.base import (
    AnswerFacts,
    AnswerReader,
    CallRequest,
    Completeness,
    Dialect,
)
from remora_sidecar.dialects.framing.decoding import Decoder, decoder_for
from remora_sidecar.dialects.framing.event_count import SPACE, EventCount
from remora_sidecar.engine.upstream import Answer
from remora_sidecar.engine.usage_asking import BegunBody
from remora_sidecar.model.exchange import AnswerHead, header
from remora_sidecar.policy.failures import Failure, failure_of_error, failure_of_status

HELD_BYTES = 256 * 1024
HELD_EVENTS = 64

_ERROR_WORDS = (b"rror", b"xception", b"ERROR")
"""No provider words an error without one of them."""

_CUT = CallError("provider_cut", "the provider cut its answer before the model said anything")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attempt that was answered.

    Attributes:
        answer: Still whole, whatever was read of it.
        failure: None for an answer that the agent should get.
        error: What the answer stated.
        facts: All that it stated; None for one that did not fail.
        is_whole: All of it was read.
    """

    answer: Answer
    failure: Failure | None = None
    error: CallError | None = None
    facts: AnswerFacts | None = None
    is_whole: bool = False


class Trial:
    """Reads the beginning of one answer."""

    def __init__(
        self,
        answer: Answer,
        dialect: Dialect,
        request: CallRequest,
        idle_s: float | None = None,
    ) -> None:
        """Take an answer of which nothing was read, and how long its pieces may take."""
        message = answer.message
        self._answer = answer
        self._dialect = dialect
        self._request = request
        self._idle_s = idle_s
        self._head = AnswerHead(message.code, message.raw_headers)
        self._decoder: Decoder = decoder_for(header(message.raw_headers, b"content-encoding"))
        self._held = bytearray()
        self._decoded = bytearray()
        self._has_begun = False
        self._count = EventCount()
        self._is_held_whole = self._head.status >= 400 or not request.stream

    async def verdict(self) -> Verdict:
        """Read until it is known whether the attempt failed, or the bounds are met.

        Raises:
            UpstreamError: Nothing came for too long.
        """
        if self._head.status == 101:
            return Verdict(self._answer)
        end = await self._read()
        content = self._answer.content
        answer = Answer(self._answer.message, BegunBody(bytes(self._held), content))
        if end is _End.SAID:
            return Verdict(answer)
        facts = self.facts()
        failure = self._failure(end, facts)
        if failure is None:
            return Verdict(answer)
        error = _CUT if failure is Failure.DISCONNECTED else facts.error
        is_whole = end is not _End.CUT and content.at_eof()
        return Verdict(answer, failure, error, facts, is_whole)

    def facts(self) -> AnswerFacts:
        """Say what was stated so far."""
        return self._facts_of(bytes(self._decoded))

    def _facts_of(self, decoded: bytes) -> AnswerFacts:
        """Ask a reader of its own: a reader is asked once."""
        reader = self._reader()
        reader.feed(decoded)
        return reader.finish()

    def _failure(self, end: "_End", facts: AnswerFacts) -> Failure | None:
        failure = failure_of_status(self._head.status)
        if failure is None and facts.error is not None:
            return failure_of_error(facts.error)
        is_cut = end is _End.CUT or self._ends_early(facts)
        return Failure.DISCONNECTED if failure is None and is_cut else failure

    def _ends_early(self, facts: AnswerFacts) -> bool:
        """Tell whether an answer that came to its end lacks that of its own format."""
        is_read = self._answer.content.at_eof() and not self._decoder.problem
        return is_read and facts.completeness is Completeness.CUT

    def _reader(self) -> AnswerReader:
        return self._dialect.answer_reader(self._head, self._request)

    async def _read(self) -> "_End":
        """Hold what comes; a stream only until the model said something."""
        content = self._answer.content
        reader = self._reader()
        try:
            while not content.at_eof():
                chunk, events = await self._next(), self._count.events
                self._held += chunk
                if self._fed(reader, chunk) and not self._is_held_whole:
                    return _End.SAID
                is_new = self._count.events > events
                if self._is_past_bounds() or (is_new and self._states_error()):
                    return _End.ENOUGH
        except aiohttp.ClientError:
            return _End.CUT
        return _End.ENOUGH

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_s):
                return await self._answer.content.readany()
        except TimeoutError as error:
            text = f"the provider sent nothing for {self._idle_s:g} s"
            raise UpstreamError(text, kind="idle_timeout") from error

    def _fed(self, reader: AnswerReader, chunk: bytes) -> bool:
        said = False
        for piece in self._decoder.feed(chunk):
            if not self._has_begun:
                self._look_at_first(piece.lstrip(SPACE)[:1])
            self._decoded += piece
            self._count.feed(piece)
            said = reader.feed(piece) or said
        return said

    def _look_at_first(self, byte: bytes) -> None:
        """Hold all of an answer that is no stream though one was asked for: it may be an error.

        With its first byte such an answer says something, and no stream does.
        """
        self._has_begun = bool(byte)
        if byte and self._reader().feed(byte):
            self._is_held_whole = True

    def _is_past_bounds(self) -> bool:
        if len(self._held) > HELD_BYTES or len(self._decoded) > 4 * HELD_BYTES:
            return True
        if self._decoder.problem:  # nobody will ever know whether it says something
            return True
        return not self._is_held_whole and self._count.events > HELD_EVENTS

    def _states_error(self) -> bool:
        """Tell whether a stream has begun with an error, after which little may come.

        Events without their end are left out: half an error is of no known class.
        """
        if self._is_held_whole or not any(word in self._decoded for word in _ERROR_WORDS):
            return False
        ended = bytes(self._decoded[: len(self._decoded) - self._count.left])
        return self._facts_of(ended).error is not None


class _End(Enum):
    """Why reading ended."""

    SAID = "the model said something"
    CUT = "the provider cut"
    ENOUGH = "all is there, or more than is held"
