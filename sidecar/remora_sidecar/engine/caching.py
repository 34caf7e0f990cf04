"""The engine's use of the cache: what policy allows one call, and who asks for the same."""

from typing import NamedTuple

from remora.clock import Clock
from remora.frozen import by_name
from remora.records import CacheVerdict, CallRecord, EndReason
from remora_sidecar.cache.directives import Directives
from remora_sidecar.cache.entry import CachedAnswer, CachedFacts
from remora_sidecar.cache.key import CacheKeyParts, cache_key
from remora_sidecar.cache.levels import CacheLevels, Scope
from remora_sidecar.cache.rules import CacheRules, Plan, after, before, kept_headers
from remora_sidecar.dialects.base import AnswerFacts, Dialect
from remora_sidecar.engine.flight import Flight, Leader
from remora_sidecar.engine.leg import Leg
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.policy import CachePolicy

_key_parts = by_name(CacheKeyParts)


class CachePlan(NamedTuple):
    """What to do with the cache for one call.

    Attributes:
        key: Under which its answer is kept; empty where neither is to be done.
    """

    policy: CachePolicy
    rules: CacheRules
    plan: Plan
    key: str = ""

    @property
    def reads(self) -> bool:
        """Whether an answer may come from the cache, or be shared."""
        return self.plan.look_up

    @property
    def asks(self) -> bool:
        """Whether the answer is worth sharing or keeping."""
        return self.plan.look_up or self.plan.store

    @property
    def only_cached(self) -> bool:
        """Whether the agent wants no answer but a cached one."""
        return self.plan.only_cached

    @property
    def paced(self) -> bool:
        """Whether a stream is given at the times at which it came."""
        return self.policy.paced

    @property
    def unanswered(self) -> CacheVerdict:
        """The verdict of a call that the cache does not answer."""
        return self.plan.unanswered


class Caching:
    """The cache of one engine, and the calls under way that others may join."""

    def __init__(self, levels: CacheLevels, *, namespace: str, secret: bytes, clock: Clock) -> None:
        """Take where answers are kept.

        Args:
            levels: The levels of the cache.
            namespace: Whose calls these are.
            secret: Makes fingerprints of credentials.
            clock: Tells ages.
        """
        self.levels = levels
        self._namespace = namespace
        self.secret = secret
        self._clock = clock
        self._flights: dict[str, Flight] = {}

    def plan(
        self,
        policy: CachePolicy,
        leg: Leg,
        head: RequestHead,
        dialect: Dialect,
        directives: Directives,
    ) -> CachePlan:
        """Decide what to do for a call.

        Args:
            policy: What policy says about the cache.
            leg: Where the call would go, and what it would ask there.
            head: As it would go out; its key may be stood for by another text.
            dialect: The call's.
            directives: What the agent says to caches.
        """
        rules = CacheRules(policy.reads, policy.writes, policy.sampling)
        plan = before(rules, leg.request, dialect.name, leg.body, directives)
        if not (plan.look_up or plan.store):
            return CachePlan(policy, rules, plan)
        key = cache_key(
            _key_parts(
                namespace=self._namespace,
                provider=leg.provider.name,
                authority=leg.target.authority,
                method=head.method,
                path=head.path,
                query=head.query,
                dialect=dialect.name,
                sent_model=leg.request.model,
                stream=leg.request.stream,
                headers=head.headers,
                body=leg.body,
                secret=self.secret,
            )
        )
        return CachePlan(policy, rules, plan, key)

    @property
    def waiting(self) -> int:
        """How many calls wait for answers that can be shared."""
        return sum(flight.readers for flight in self._flights.values())

    def at_hand(self, plan: CachePlan) -> CachedAnswer | None:
        """Look for an answer that may be served now where nobody has to wait for it."""
        return self.levels.near(plan.key, self._clock.now_unix_ns(), plan.plan.max_age_s)

    async def find(self, plan: CachePlan) -> CachedAnswer | None:
        """Look for an answer that may be served now, and is not at hand."""
        now_unix_ns = self._clock.now_unix_ns()
        scope = Scope(plan.policy.scope)
        return await self.levels.far(plan.key, now_unix_ns, plan.plan.max_age_s, scope)

    def flight(self, plan: CachePlan) -> Flight | None:
        """Find a call under way that asks for the same and can be joined."""
        flight = self._flights.get(plan.key)
        return flight if flight is not None and flight.joinable else None

    def open(self, plan: CachePlan, leader: Leader) -> Flight:
        """Begin a call that others may join, if they may at all."""
        flight = Flight(leader, self._clock, plan.rules.max_body_bytes)
        if plan.reads and self.flight(plan) is None:
            self._flights[plan.key] = flight
        return flight

    def close(self, plan: CachePlan, flight: Flight) -> None:
        """Take a call that has ended off the list."""
        if self._flights.get(plan.key) is flight:
            del self._flights[plan.key]

    async def keep(self, plan: CachePlan, flight: Flight) -> None:
        """Keep an answer if it may be kept."""
        facts, record, head = flight.leader.facts, flight.leader.record, flight.head
        if not plan.plan.store or facts is None or record is None or head is None:
            return
        whole = flight.is_whole and record.end_reason is EndReason.COMPLETED
        chunks = flight.chunks
        body_bytes = sum(len(chunk.data) for chunk in chunks)
        if not chunks or after(
            plan.rules, status=head.status, facts=facts, body_bytes=body_bytes, whole=whole
        ):
            return
        now_unix_ns = self._clock.now_unix_ns()
        answer = CachedAnswer(
            status=head.status,
            reason=head.reason,
            headers=kept_headers(head.headers),
            chunks=chunks,
            facts=_kept_facts(facts, record),
            stored_unix_ns=now_unix_ns,
        )
        policy = plan.policy
        await self.levels.put(plan.key, answer, now_unix_ns, policy.ttl_s, Scope(policy.scope))


def _kept_facts(facts: AnswerFacts, record: CallRecord) -> CachedFacts:
    return CachedFacts(
        model=facts.model,
        finish_reason=facts.finish_reason,
        response_id=facts.response_id,
        tool_names=facts.tool_names,
        usage=record.usage,
        usage_problem=facts.usage_problem,
        service_tier=facts.service_tier,
        cost_usd=format(record.cost.total_usd, "f") if record.cost is not None else "",
        latency_s=record.latency_s,
        ttft_s=record.ttft_s,
    )
