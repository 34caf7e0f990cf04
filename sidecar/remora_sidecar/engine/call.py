"""One call from the agent's request to the answer's last byte."""

from dataclasses import replace

from aiohttp import web
from aiohttp.http import RawResponseMessage

from remora.errors import UpstreamError
from remora.frozen import by_name
from remora.ids import new_call_id
from remora.providers import Provider
from remora.records import Attribution, EndReason
from remora_sidecar.cache.rules import NOT_CACHED_IN_SESSION
from remora_sidecar.dialects.framing.decoding import decode_body
from remora_sidecar.dialects.registry import dialect_for
from remora_sidecar.engine.advising import advice_of
from remora_sidecar.engine.agent_side import AgentRequest, AgentSide
from remora_sidecar.engine.arrival import Arrival, sealed_by
from remora_sidecar.engine.attempts import BROKEN_BODY, Attempts
from remora_sidecar.engine.attribution import attributed, trace_of
from remora_sidecar.engine.cached_answer import CachedCarriage
from remora_sidecar.engine.conversation import TunnelWatch
from remora_sidecar.engine.course import Course
from remora_sidecar.engine.exchange import Exchange
from remora_sidecar.engine.finishing import Finishing
from remora_sidecar.engine.headers import end_to_end
from remora_sidecar.engine.key_use import head_for_cache, with_key_of
from remora_sidecar.engine.known_requests import read_request
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.observation import BodyCapture, Observation, Waiting
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.own_headers import own_headers
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.pursuit import Pursuit
from remora_sidecar.engine.recording import Recording
from remora_sidecar.engine.refusal import (
    bad_request,
    key_missing,
    not_cached,
    too_large,
    upstream_failed,
)
from remora_sidecar.engine.request_body import HeldBody, PassingBody, RequestBody, take_body
from remora_sidecar.engine.steering import Refused
from remora_sidecar.engine.tunnel import Tunnel
from remora_sidecar.engine.upstream import Answer, Endpoint
from remora_sidecar.engine.usage_asking import AskedUsage
from remora_sidecar.model.exchange import header
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy.failures import CREDENTIAL_MISSING
from remora_sidecar.policy.key_plan import UNTOUCHED
from remora_sidecar.policy.redaction import Redactor

_observation = by_name(Observation)


class Call:
    """Carries one request to its provider and the answer back, and records it."""

    def __init__(
        self,
        parts: EngineParts,
        request: AgentRequest,
        arrived: Arrival,
        provider: Provider,
        hand_off: HandOff,
    ) -> None:
        """Take the request; nothing is read or sent yet."""
        self._parts = parts
        self._policy = parts.policy  # one policy for the whole of a call
        self._request = request
        self._arrived = arrived
        self._target = arrived.target
        self._provider = provider
        self._head = arrived.head(request.raw_headers)
        self._dialect = dialect_for(provider.dialects, self._head, provider.path_patterns)
        call_id = new_call_id(parts.clock.now_unix_ns())
        trace = trace_of(request.fields.get("traceparent"))
        whose = attributed(arrived.ours, trace, hand_off.proxy_user, parts.sessions, call_id)
        self._session = whose.session
        self._risk = whose.risk
        self._seen = self._observation(call_id, hand_off, whose.attribution)
        self._seen.notes.extend(whose.notes)
        self._agent = AgentSide(request, own_headers(self._seen, switched_on=parts.answer_headers))
        self._recording = Recording(parts, self._seen, self._session)
        self._attempts = Attempts(parts, self._seen)
        self._finishing: Finishing | None = None

    def _observation(
        self, call_id: str, hand_off: HandOff, attribution: Attribution
    ) -> Observation:
        parts = self._parts
        limit = parts.captured_body_bytes if self._policy.captures_bodies else 0
        redactor = None
        if (rules := self._policy.redaction) is not None:
            redactor = Redactor(rules, parts.redaction_salt)
            limit = min(limit, rules.body_bytes)
        return _observation(
            call_id=call_id,
            clock=parts.clock,
            started_unix_ns=parts.clock.now_unix_ns(),
            started_s=parts.clock.monotonic_s(),
            origin=parts.origin_of(hand_off),
            attribution=attribution,
            provider=self._provider.name,
            price_id=self._provider.price_id,
            dialect=self._dialect.name,
            method=self._request.method,
            url=self._arrived.url,
            request_capture=BodyCapture(limit),
            response_capture=BodyCapture(limit),
            capture=self._policy.capture,
            waiting=Waiting(parts.clock),
            request_content_type=self._arrived.content_type,
            request_content_encoding=self._arrived.content_encoding or "",
            redactor=redactor,
        )

    async def run(self) -> web.StreamResponse:
        """Carry the call to its end; the record is made however it ends."""
        self._session.in_flight += 1
        self._parts.metrics.in_flight += 1
        try:
            task_id = self._seen.attribution.task_id
            with (
                self._recording.until_recorded(),
                self._parts.task_gate.carrying(task_id, self._cut),
            ):
                await self._carry()
        finally:
            self._session.in_flight -= 1
            self._parts.metrics.in_flight -= 1
        return self._agent.carried()

    async def _carry(self) -> None:
        try:
            body = await self._take_body()
        except BROKEN_BODY:
            self._refuse_broken_body()
            return
        if isinstance(body, PassingBody) and not self._policy.opaque_allowed:
            self._seen.opaque = True
            self._refuse(too_large(self._parts.held_body_bytes))
            return
        self._read_request(body)
        seen = self._seen
        if (held := self._parts.task_gate.refusal(seen.attribution.task_id)) is not None:
            rulebook = self._policy.rulebook
            seen.receipt = lambda _: rulebook.receipt
            self._refuse(held)
            return
        course = await self._steered(body)
        self._seen.receipt = course.receipt
        if isinstance(course, Refused):
            self._refuse(course.refusal)
            return
        try:
            if not (isinstance(body, HeldBody) and await self._with_cache(course, body)):
                await self._with_provider(self._pursuit(course, body))
        except UpstreamError as error:
            self._no_answer(error)

    async def _steered(self, body: RequestBody) -> Course | Refused:
        """Ask policy where the call may go; what it holds of budgets is settled with the record."""
        steering, seen = self._parts.steering, self._seen
        own = Leg(self._provider, self._target, self._head, seen.request, seen.request_body)
        rulebook, router = self._policy.rulebook, self._session.router
        if not rulebook.steers and router is None:
            as_asked = Option(own, self._dialect, own.provider, own.model)
            return Course((as_asked,), lambda _: rulebook.receipt)
        situation = steering.situation(
            rulebook, own, self._dialect, seen, self._session, self._sealed(body), self._risk
        )
        if router is not None and steering.leaves_open(situation):
            with seen.waiting:
                situation.advice = await advice_of(router, situation)
        if steering.budgeting.leases is not None:
            await steering.budgeting.ready(situation)
        course = steering.course(situation)
        if situation.goal != seen.attribution.goal:
            seen.attribution = replace(seen.attribution, goal=situation.goal)
        if isinstance(course, Course):
            self._finishing = steering.finishing(course)
            self._recording.on_finish = self._finishing.call
        return course

    def _sealed(self, body: RequestBody) -> str:
        """Say why nothing in the request may change; empty if it may."""
        keys = self._policy.rulebook.key_plan(self._provider)
        is_held = isinstance(body, HeldBody)
        return sealed_by(self._arrived.seal, self._seen.request, keys, is_held=is_held)

    async def _with_provider(self, pursuit: Pursuit) -> None:
        """Ask for this agent alone."""
        try:
            answer = await pursuit.ask()
            await self._pass_on(pursuit, answer)
        finally:
            self._attempts.abort()

    def _pursuit(self, course: Course, body: RequestBody) -> Pursuit:
        self._seen.redact_ahead(self._parts.redaction_worker)
        asked = self._outgoing(body)
        return Pursuit(
            self._attempts,
            self._recording,
            self._dialect,
            course,
            lambda leg: self._exchange(leg, body),
            lambda leg: self._keyed(leg, leg.outgoing(asked)),
        )

    def _exchange(self, leg: Leg, body: RequestBody) -> Exchange:
        asked = self._asked_usage(leg) if isinstance(body, HeldBody) else None
        return Exchange(self._attempts, self._recording, self._dialect, asked)

    def _keyed(self, leg: Leg, outgoing: Outgoing) -> Outgoing:
        """Put policy's key in the place of the agent's; raises UpstreamError if there is none."""
        plan = self._policy.rulebook.key_plan(leg.provider)
        if plan is UNTOUCHED:
            return outgoing
        parts = self._parts
        return with_key_of(
            plan,
            outgoing,
            leg.provider,
            parts.keys,
            dialect=self._dialect.name,
            now_unix_ns=parts.clock.now_unix_ns(),
        )

    async def _pass_on(self, pursuit: Pursuit, answer: Answer) -> None:
        if answer.message.code == 101:
            await self._tunnel(answer.message)
        elif not await pursuit.relay(answer, self._agent):
            self._agent.keep_alive = False  # what would follow is no request

    async def _with_cache(self, course: Course, body: HeldBody) -> bool:
        """Carry the call with the help of the cache; False if it has to go its own way."""
        caching, policy = self._parts.caching, self._policy.cache
        if caching is None or policy is None:
            return False
        seen, leg = self._seen, course.legs[0].leg
        if not self._session.is_cached:
            seen.cache = NOT_CACHED_IN_SESSION
            return False
        key_plan, keys = self._policy.rulebook.key_plan(leg.provider), self._parts.keys
        # Agents repeat what lasts of their heads: most of its key is then known already.
        head = self._arrived.lasting if leg.head is self._head else leg.head
        head = head_for_cache(key_plan, head, leg.provider, keys, caching.secret)
        plan = caching.plan(policy, leg, head, self._dialect, self._arrived.directives)
        carriage = CachedCarriage(self._parts, caching, plan, self._agent, self._recording)
        seen.goes_to(leg.provider, leg.request, leg.parameters.text)
        if await carriage.served():
            return True
        seen.cache = plan.unanswered
        if plan.only_cached:
            self._refuse(not_cached())
            return True
        if plan.asks:
            await carriage.lead(self._pursuit(course, body), leg)
        return plan.asks

    async def _take_body(self) -> RequestBody:
        request = self._request
        if not request.body_exists:
            return HeldBody(b"")
        if self._arrived.expects_continue and request.version >= (1, 1):
            self._agent.interim_continue()
        length = request.content_length
        with self._seen.waiting:
            return await take_body(request.content, length, self._parts.held_body_bytes)

    def _read_request(self, body: RequestBody) -> None:
        seen = self._seen
        if isinstance(body, HeldBody):
            seen.request_capture.feed(body.content)
            seen.request_body = self._decoded(body.content)
            seen.request = read_request(self._dialect, self._arrived.lasting, seen.request_body)
            if seen.request.problem:
                seen.note(seen.request.problem)
        else:
            seen.opaque = True
            seen.request = self._dialect.read_request(self._head, b"")._replace(problem="")
            limit = self._parts.held_body_bytes
            seen.note(f"the body is larger than {limit} bytes and was not read")

    def _decoded(self, body: bytes) -> bytes:
        """Undo the request's content-encoding on the side; what goes out stays encoded."""
        encoding = self._arrived.content_encoding
        if encoding is None:
            return body
        decoded, problem = decode_body(encoding, body, self._parts.held_body_bytes)
        if problem:
            self._seen.note(f"the request's body could not be decoded: {problem}")
        return decoded

    def _asked_usage(self, leg: Leg) -> AskedUsage | None:
        if not self._policy.may_ask_usage:
            return None
        return self._parts.usage_asking.asked(
            leg.provider, self._dialect, leg.request, leg.head, leg.body
        )

    def _outgoing(self, body: RequestBody) -> Outgoing:
        target = self._target
        upgrade = header(self._request.raw_headers, b"upgrade") or ""
        return Outgoing(
            endpoint=Endpoint(target.host, target.port, target.scheme == "https"),
            method=self._request.method,
            target=target.origin_form,
            headers=self._head.headers,
            body=body,
            upgrade=upgrade if upgrade.lower() == "websocket" else "",
        )

    def _no_answer(self, error: UpstreamError) -> None:
        if self._attempts.body_is_broken:
            self._refuse_broken_body()
            return
        if error.kind == CREDENTIAL_MISSING:
            self._refuse(key_missing(str(error)))
            return
        self._recording.no_answer(error)
        self._say(upstream_failed(str(error), error.kind))

    def _refuse_broken_body(self) -> None:
        self._agent.keep_alive = False
        self._refuse(bad_request("the request's body is not framed as HTTP/1.1 asks"))

    def _refuse(self, refusal: Refusal) -> None:
        self._recording.refused(refusal)
        self._parts.metrics.refused[refusal.code] += 1
        self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        call_id = self._seen.call_id if self._parts.answer_headers else ""
        self._agent.refuse(refusal, call_id, shape=self._dialect.refuse)

    def _cut(self, refusal: Refusal) -> None:
        """End the call where it is: its task was cancelled, and calls in flight are cut."""
        agent = self._agent
        self._seen.note("the call was cut, since its task was cancelled")
        self._parts.metrics.refused[refusal.code] += 1
        self._recording.cut(refusal, begun=agent.started)
        if agent.started:
            agent.cut()
        else:
            agent.keep_alive = False  # the agent may still be sending its body
            self._say(refusal)

    async def _tunnel(self, message: RawResponseMessage) -> None:
        self._seen.status_code = 101
        self._seen.answer_headers = message.raw_headers
        self._seen.attempt_ended(101)
        self._agent.frame(101, None)
        headers = [*end_to_end(message.raw_headers), (b"Connection", b"Upgrade")]
        upgrade = header(message.raw_headers, b"upgrade") or "websocket"
        headers.append((b"Upgrade", upgrade.encode("latin-1")))
        self._agent.start(101, message.reason, headers)
        self._agent.flush()
        tunnel = Tunnel(self._request.protocol, self._attempts.connection.protocol)
        finishing = self._finishing
        on_turn = finishing.turn if finishing is not None else None
        watch = TunnelWatch(self._parts, self._seen, self._session, self._dialect, on_turn)
        closed_by = None
        try:
            with self._seen.waiting:
                closed_by = await tunnel.run(watch.from_agent, watch.from_provider)
        finally:
            if has_turns := watch.finish(closed_by):
                self._recording.hand_over()  # each turn has its own record
                if finishing is not None:
                    finishing.end()
        if not has_turns:
            self._recording.finish(EndReason.COMPLETED)
        self._agent.keep_alive = False
