"""A call pursued over its legs until one answers: retries, fallback, deadlines.

Before the commit point a failed attempt is nobody's business but the record's; after it nothing is
tried again. The last failure is the agent's to see, as its provider worded it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from remora.clock import Clock
from remora.errors import UpstreamError
from remora.records import CallError
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.engine.answer_sink import AnswerSink
from remora_sidecar.engine.attempts import Attempts
from remora_sidecar.engine.budgeting import amount_of
from remora_sidecar.engine.course import Course
from remora_sidecar.engine.exchange import Exchange
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.recording import Recording
from remora_sidecar.engine.trial import Trial, Verdict
from remora_sidecar.engine.upstream import Answer
from remora_sidecar.model.exchange import header
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.breaker import Breaker
from remora_sidecar.policy.breaker import Trial as BreakerTrial
from remora_sidecar.policy.breakers import Breakers
from remora_sidecar.policy.failures import (
    Failure,
    failure_of_kind,
    failure_of_status,
    pause_s,
    retry_after_s,
)

_NO_ROOM = "a strict budget has no room for another try: the failed one was billed"

MakeExchange = Callable[[Leg], Exchange]
"""Makes the carrier of one leg."""

Send = Callable[[Leg], Outgoing]
"""Gives the request of one leg as it goes out now; raises UpstreamError if it can't."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """An attempt that failed: what the agent gets if nothing better comes, and what it used."""

    failure: Failure
    verdict: Verdict | None = None
    error: UpstreamError | None = None
    retry_after_s: float | None = None
    used: Amount | None = None


class _Watch:
    """Tells the breaker of a leg how one attempt ended."""

    def __init__(self, breakers: Breakers | None, leg: Leg, clock: Clock) -> None:
        now_s = clock.monotonic_s()
        self._clock = clock
        self._breaker: Breaker | None = None
        self._trial: BreakerTrial | None = None
        if breakers is not None:
            self._breaker = breakers.of(leg.provider.name, leg.model, now_s)
            self._trial = self._breaker.begin(now_s)

    def ended(self, failure: Failure | None) -> None:
        """Tell of a result; what says nothing of the provider is as if nobody had waited."""
        if self._breaker is None or self._trial is None:
            return
        now_s = self._clock.monotonic_s()
        if failure is None:
            self._breaker.succeeded(self._trial, now_s)
        elif failure.harms_health:
            self._breaker.failed(self._trial, now_s)
        else:
            self._breaker.abandoned(self._trial)

    def abandoned(self) -> None:
        """Tell that nobody waited."""
        if self._breaker is not None and self._trial is not None:
            self._breaker.abandoned(self._trial)


class Pursuit:
    """Gets an answer for one call; `relay` passes it on."""

    def __init__(
        self,
        attempts: Attempts,
        recording: Recording,
        dialect: Dialect,
        course: Course,
        make_exchange: MakeExchange,
        send: Send,
    ) -> None:
        """Take the call and where it may go; nothing is sent yet."""
        self.attempts = attempts
        self._recording = recording
        self._seen = recording.seen
        self._dialect = dialect
        self._course = course
        self._make_exchange = make_exchange
        self._send = send
        self._exchange: Exchange | None = None
        self._leg: Leg | None = None

    async def ask(self) -> Answer:
        """Get the answer that the agent shall have; raises UpstreamError if none came."""
        course = self._course
        self.attempts.limits = course.pace.limits
        if course.pace.total_s is None:
            return await self._pursue()
        try:
            async with asyncio.timeout(course.pace.total_s):
                return await self._pursue()
        except TimeoutError as error:
            self.attempts.abort()
            text = f"no answer could be had within {course.pace.total_s:g} s"
            raise UpstreamError(text, kind="total_timeout") from error

    def came_by(self, leg: Leg) -> bool:
        """Tell whether a leg was the last one taken."""
        return self._leg is leg

    async def relay(self, answer: Answer, sink: AnswerSink) -> bool:
        """Pass the answer on; see `Exchange.relay`."""
        if self._exchange is None:
            raise RuntimeError("nothing was asked")
        return await self._exchange.relay(answer, sink)

    async def _pursue(self) -> Answer:
        course = self._course
        if not course.is_held:
            return await self._once(course.legs[0].leg)
        failed: _Failed | None = None
        for option in self._legs():
            if failed is not None:
                if not self._affords_another(failed):
                    break
                self._discard(failed)
            found = await self._on(option)
            if isinstance(found, Answer):
                return found
            failed = found
            if not failed.failure.may_fall_back:
                break
        return self._last(failed)

    async def _once(self, leg: Leg) -> Answer:
        """Make the only attempt, whatever comes of it."""
        if self._course.breakers is None:
            return await self._take(leg)
        watch = _Watch(self._course.breakers, leg, self._seen.clock)
        try:
            answer = await self._take(leg)
        except UpstreamError as error:
            watch.ended(failure_of_kind(error.kind))
            raise
        except BaseException:
            watch.abandoned()
            raise
        watch.ended(failure_of_status(answer.message.code))
        return answer

    def _legs(self) -> list[Option]:
        """Leave out who keeps failing; if all do, each may have failed long enough."""
        course = self._course
        breakers, now_s = course.breakers, self._seen.clock.monotonic_s()
        if breakers is None:
            return list(course.legs)
        well = [leg for leg in course.legs if breakers.may_try(leg.provider.name, leg.model, now_s)]
        for leg in course.legs:
            if well and leg not in well:
                self._seen.note(f"{leg.key} was left alone for a while, since it kept failing")
        return well or list(course.legs)

    async def _on(self, option: Option) -> Answer | _Failed:
        """Try one leg as often as the route says."""
        try:
            leg = option.leg
        except UpstreamError as error:
            return _Failed(failure_of_kind(error.kind), error=error)
        tried = 1
        while True:
            found = await self._try(leg)
            if isinstance(found, Answer) or tried == self._course.pace.tries:
                return found
            pause = self._pause_s(tried, found)
            if pause is None or not found.failure.may_retry:
                return found
            if not self._affords_another(found):
                return found
            self._discard(found)
            with self._seen.waiting:
                await asyncio.sleep(pause)
            tried += 1

    def _affords_another(self, failed: _Failed) -> bool:
        """Tell whether strict budgets have room for what a try cost and for what another may."""
        hold_more = self._course.hold_more
        if hold_more is None or failed.used is None or hold_more(failed.used):
            return True
        if _NO_ROOM not in self._seen.notes:
            self._seen.note(_NO_ROOM)
        return False

    def _pause_s(self, tried: int, failed: _Failed) -> float | None:
        """Say how long to wait before another try; None where it is not worth the wait."""
        pace = self._course.pace
        pause = pause_s(tried, pace.first_pause_s, pace.longest_pause_s, self._course.chance())
        if failed.retry_after_s is None:
            return pause
        if failed.retry_after_s > pace.longest_pause_s:
            return None
        return max(pause, failed.retry_after_s)

    async def _try(self, leg: Leg) -> Answer | _Failed:
        """Make one attempt, and hold its answer until it is known to be one."""
        watch = _Watch(self._course.breakers, leg, self._seen.clock)
        noted = len(self._seen.attempts)
        try:
            found = await self._judged(leg)
        except UpstreamError as error:
            found = _Failed(failure_of_kind(error.kind), error=error, used=self._used_since(noted))
        except BaseException:
            watch.abandoned()
            raise
        watch.ended(found.failure if isinstance(found, _Failed) else None)
        return found

    def _used_since(self, noted: int) -> Amount | None:
        """Say what the try used that was noted after so many others; None where nobody knows."""
        for attempt in self._seen.attempts[noted:]:
            if attempt.usage is not None:
                return amount_of(attempt.usage, attempt.cost)
        return None

    async def _judged(self, leg: Leg) -> Answer | _Failed:
        answer = await self._take(leg)
        with self._seen.waiting:
            verdict = await self._verdict(answer, leg)
        if verdict.failure is None:
            return verdict.answer
        after = header(answer.message.raw_headers, b"retry-after")
        now_unix_s = self._seen.clock.now_unix_ns() / 1e9
        facts, used = verdict.facts, None
        if facts is not None and facts.usage is not None:
            used = amount_of(facts.usage, self._recording.cost_of(facts))
        pause = retry_after_s(after, now_unix_s)
        return _Failed(verdict.failure, verdict, retry_after_s=pause, used=used)

    async def _verdict(self, answer: Answer, leg: Leg) -> Verdict:
        trial = Trial(answer, self._dialect, leg.request, self._course.pace.limits.idle_s)
        try:
            return await trial.verdict()
        except UpstreamError as error:
            failure, stated = failure_of_kind(error.kind), CallError(error.kind, str(error))
            self._recording.attempt_failed(answer.message.code, failure, stated, trial.facts())
            self.attempts.abort()
            raise

    async def _take(self, leg: Leg) -> Answer:
        self._seen.goes_to(leg.provider, leg.request, leg.parameters.text)
        self._leg = leg
        self._exchange = self._make_exchange(leg)
        return await self._exchange.ask(self._send(leg))

    def _discard(self, failed: _Failed) -> None:
        """Let go of an attempt for which there will be another."""
        verdict = failed.verdict
        if verdict is None:
            return  # what sent no answer was noted and closed when it failed
        status = verdict.answer.message.code
        self._recording.attempt_failed(status, failed.failure, verdict.error, verdict.facts)
        if verdict.is_whole:
            self.attempts.complete()
        else:
            self.attempts.abort()

    def _last(self, failed: _Failed | None) -> Answer:
        if failed is None:
            raise UpstreamError("there is nobody left to ask", kind="no_candidate")
        if failed.verdict is None:
            raise failed.error or UpstreamError("no answer came", kind="disconnected")
        self._seen.failure = failed.failure.value
        return failed.verdict.answer
