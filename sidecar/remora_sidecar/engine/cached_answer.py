"""An answer that the cache may give, or several calls may share, on its way to one agent.

Used only where policy switches the cache on. The call that finds nothing asks the provider in a
task of its own, which goes on for those who joined if that call's agent leaves.
"""

import asyncio
from dataclasses import replace

from remora.errors import UpstreamError
from remora.records import CacheVerdict, CallRecord, EndReason
from remora_sidecar.cache.entry import CachedAnswer
from remora_sidecar.cache.rules import HIT
from remora_sidecar.dialects.base import AnswerFacts
from remora_sidecar.engine.agent_side import AgentSide
from remora_sidecar.engine.answer_sink import AnswerStart
from remora_sidecar.engine.caching import CachePlan, Caching
from remora_sidecar.engine.flight import Flight, FlightReader
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.pursuit import Pursuit
from remora_sidecar.engine.recording import Recording
from remora_sidecar.model.exchange import AnswerHead

_PIECE_BYTES = 64 * 1024


class CachedCarriage:
    """Carries one call that the cache may answer."""

    def __init__(
        self,
        parts: EngineParts,
        caching: Caching,
        plan: CachePlan,
        agent: AgentSide,
        recording: Recording,
    ) -> None:
        """Take the call; its request was read."""
        self._parts = parts
        self._caching = caching
        self._plan = plan
        self._agent = agent
        self._recording = recording
        self._seen = recording.seen

    async def served(self) -> bool:
        """Answer from the cache or with an answer that is under way; False if neither can."""
        if not self._plan.reads:
            return False
        answer = self._caching.at_hand(self._plan)
        if answer is None:
            answer = await self._caching.find(self._plan)
        if answer is not None:
            await self._replay(answer)
            return True
        flight = self._caching.flight(self._plan)
        return flight is not None and await self._follow(flight)

    async def lead(self, pursuit: Pursuit, leg: Leg) -> None:
        """Ask the provider, for this call and those that join; raises UpstreamError.

        Args:
            pursuit: Gets the answer.
            leg: The one for whose answers the plan was made; of others none is kept.
        """
        flight = self._caching.open(self._plan, self._recording)
        self._recording.hand_over()
        asking = self._parts.tasks.spawn(self._ask(flight, pursuit, leg), name="shared call")
        flight.abandoned = asking.cancel
        reader = flight.join()
        try:
            if (start := await reader.start()) is None:
                error = await asking
                raise error or RuntimeError("the shared call ended without an answer")
            await self._deliver(flight, reader, start)
        finally:
            flight.leave(reader)

    async def _ask(self, flight: Flight, pursuit: Pursuit, leg: Leg) -> UpstreamError | None:
        try:
            with self._recording.until_recorded(taken_over=True):
                try:
                    answer = await pursuit.ask()
                except UpstreamError as error:
                    self._recording.no_answer(error)
                    return error
                await pursuit.relay(answer, flight)
        finally:
            pursuit.attempts.abort()
            self._caching.close(self._plan, flight)
            flight.fail()
        if pursuit.came_by(leg):
            await self._caching.keep(self._plan, flight)
        return None

    async def _follow(self, flight: Flight) -> bool:
        reader = flight.join()
        try:
            with self._seen.waiting:
                start = await reader.start()
                if start is None or start.status != 200:
                    return False
                if not self._seen.request.stream and not await reader.until_whole():
                    return False
            leader = flight.leader
            if leader.record is not None and not _is_good(leader.record):
                return False
            reason = f"shared with call {leader.call_id}"
            self._seen.cache = CacheVerdict(HIT, reason, age_s=0.0)
            self._begin(start)
            await self._deliver(flight, reader, start)
            return True
        finally:
            flight.leave(reader)

    def _begin(self, start: AnswerStart) -> None:
        self._seen.status_code = start.status
        self._seen.answer_headers = start.headers

    async def _deliver(self, flight: Flight, reader: FlightReader, start: AnswerStart) -> None:
        """Pass the answer on as it comes; a follower's record is made as soon as its leader's."""
        agent = self._agent
        agent.begin(start)
        while True:
            if not reader.ready:
                agent.flush()
            chunk = await self._next(flight, reader)
            last = chunk is None or reader.at_end
            if chunk is None and not flight.is_whole:
                agent.flush()
                agent.cut()
                return
            agent.write(chunk or b"", last=last)
            if last:
                return
            if agent.congested:
                await self._drain(flight)

    async def _drain(self, flight: Flight) -> None:
        """Wait for the agent; a leader's waiting is that for its provider."""
        if flight.leader is self._recording:
            await self._agent.drain()
        else:
            with self._seen.waiting:
                await self._agent.drain()

    async def _next(self, flight: Flight, reader: FlightReader) -> bytes | None:
        leader = flight.leader
        if leader is self._recording:
            return await reader.chunk()
        with self._seen.waiting:
            chunk = await reader.chunk()
        if chunk is not None:
            self._seen.response_capture.feed(chunk)
            self._seen.output_seen()
        if (record := leader.record) is not None:
            self._finish_shared(record)
        return chunk

    def _finish_shared(self, record: CallRecord) -> None:
        if self._seen.cache is not None:
            self._seen.cache = replace(
                self._seen.cache,
                original_latency_s=record.latency_s,
                saved_usd=record.cost.total_usd if record.cost is not None else None,
            )
        facts = AnswerFacts(
            model=record.response_model,
            finish_reason=record.finish_reason,
            response_id=record.response_id,
            tool_names=record.tool_names,
            usage=record.usage,
        )
        self._recording.finish_cached(facts, record.end_reason, record.error, shared=record)

    async def _replay(self, answer: CachedAnswer) -> None:
        age_s = max(0.0, answer.age_s(self._parts.clock.now_unix_ns()))
        self._seen.cache = CacheVerdict(HIT, "", age_s, answer.facts.latency_s, answer.saved_usd)
        start = _start(answer, stream=self._seen.request.stream)
        self._recording.begin_kept(AnswerHead(start.status, start.headers))
        self._agent.begin(start)
        if self._plan.paced and self._seen.request.stream:
            await self._play(answer)
        else:
            await self._give(answer)

    async def _play(self, answer: CachedAnswer) -> None:
        """Give the pieces at the times at which they came."""
        for chunk in answer.chunks[:-1]:
            await self._pause(chunk.delay_s)
            self._pass(chunk.data)
            self._agent.write(chunk.data)
        await self._pause(answer.chunks[-1].delay_s if answer.chunks else 0.0)
        self._end(answer, answer.chunks[-1].data if answer.chunks else b"")

    async def _pause(self, delay_s: float) -> None:
        if delay_s > 0:
            self._agent.flush()
            with self._seen.waiting:
                await asyncio.sleep(delay_s)

    async def _give(self, answer: CachedAnswer) -> None:
        """Give all of it now, as fast as the agent reads."""
        body = answer.body
        end = max(0, len(body) - _PIECE_BYTES)
        for at in range(0, end, _PIECE_BYTES):
            piece = body[at : min(at + _PIECE_BYTES, end)]
            self._pass(piece)
            self._agent.write(piece)
            if self._agent.congested:
                with self._seen.waiting:
                    await self._agent.drain()
        self._end(answer, body[end:])

    def _pass(self, data: bytes) -> None:
        self._recording.pass_kept(data)

    def _end(self, answer: CachedAnswer, data: bytes) -> None:
        self._pass(data)
        self._recording.finish_cached(answer.stated, EndReason.COMPLETED)
        self._agent.write(data, last=True)


def _start(answer: CachedAnswer, *, stream: bool) -> AnswerStart:
    if stream:
        return AnswerStart(answer.status, answer.reason, list(answer.headers), None)
    length = answer.body_bytes
    headers = [*answer.headers, (b"Content-Length", b"%d" % length)]
    return AnswerStart(answer.status, answer.reason, headers, length)


def _is_good(record: CallRecord) -> bool:
    return record.error is None and record.end_reason is EndReason.COMPLETED
