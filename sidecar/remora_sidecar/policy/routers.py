"""How a route's candidate is chosen among those that a call may go to. Pure.

One function for each router policy. What a choice needs is asked for when it is needed: prices,
conditions and the conversation are not worked out for a router that does not look at them.
"""

import hashlib
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from remora.learning.decision import Risk
from remora.policy.routing import Candidate, Route, Router
from remora.providers import Provider
from remora_sidecar.dialects.parameters import NOTHING_SET, Parameters, arm_key
from remora_sidecar.policy.latencies import Latencies
from remora_sidecar.policy.learned import Learned
from remora_sidecar.policy.score_book import ScoreBook


class Offer(NamedTuple):
    """A provider's model that a call may go to.

    Attributes:
        candidate: What the policy says of it.
        parameters: That are set in the request.
    """

    provider: Provider
    model: str
    candidate: Candidate
    parameters: Parameters = NOTHING_SET

    @property
    def key(self) -> str:
        """Name it as scores, receipts and logs do."""
        return arm_key(self.provider.name, self.model, self.parameters)


class Choice(NamedTuple):
    """What a router chose.

    Attributes:
        chosen: Position of the offer; None if the router leaves the call as it was.
        scores: Of all offers, in their order; empty where the router has none.
        propensity: How likely the choice was, for random ones.
        note: What a person should know of it.
        propensities: How likely each offer was, for random choices.
        notes: Of all offers, one word for why each was not likelier; of learned routing.
        reason: ``exploitation``, ``thompson`` or ``exploration``; of learned routing.
        risk: ``low``, ``medium`` or ``high``; of learned routing.
        digest: Of the scores that learned routing went by; empty: it knew none.
    """

    chosen: int | None
    scores: tuple[float | None, ...] = ()
    propensity: float | None = None
    note: str = ""
    propensities: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    risk: str = ""
    digest: str = ""


@dataclass(slots=True)
class Choosing:
    """What routers may ask of one call.

    Attributes:
        route: The route's name.
        router: What the policy says.
        offers: To choose from; at least one.
        sticks_to: Gives what a sticky choice is kept for: ``session``, ``task`` or
            ``conversation``; empty where the call has none.
        price_usd: Estimates what the call costs at an offer; None if its price is unknown.
        holds: Tells whether the condition of an offer holds.
        plugin: Asks a plugin for a model.
        now_s: By the monotonic clock.
        goal: What the call is for; empty if nobody knows.
        risk: How much of the choice may be left to chance.
    """

    route: str
    router: Router
    offers: Sequence[Offer]
    sticks_to: Callable[[str], str]
    price_usd: Callable[[Offer], Decimal | None]
    holds: Callable[[Offer], bool]
    plugin: Callable[[str], str | None]
    now_s: float
    goal: str = ""
    risk: Risk = "low"


class Routers:
    """Chooses, and keeps what routers remember between calls.

    Attributes:
        learned: Decides by scores.
    """

    def __init__(
        self, latencies: Latencies, chance: random.Random, scores: ScoreBook | None = None
    ) -> None:
        """Take how fast models answered, where unseeded choices come from, and what is learned."""
        self._latencies = latencies
        self._chance = chance
        self.learned = Learned(scores or ScoreBook(), chance)
        self._seeded: dict[tuple[str, int], random.Random] = {}
        self._turns: dict[str, int] = {}

    def apply(self, routes: Iterable[Route], *, across_namespaces: bool = False) -> None:
        """Go by a changed policy: forget the turns and sequences of routes that are gone."""
        routes = tuple(routes)
        self.learned.forget()
        self.learned.book.apply(routes, across_namespaces=across_namespaces)
        kept = {(route.name, route.router.seed) for route in routes if route.router is not None}
        names = {name for name, _ in kept}
        self._turns = {name: turn for name, turn in self._turns.items() if name in names}
        self._seeded = {key: seeded for key, seeded in self._seeded.items() if key in kept}

    def choose(self, choosing: Choosing) -> Choice:
        """Choose an offer."""
        return _POLICIES[choosing.router.policy](self, choosing)

    def _random(self, choosing: Choosing) -> Choice:
        count = len(choosing.offers)
        chosen, share = self._chance_of(choosing).randrange(count), 1 / count
        return Choice(chosen, propensity=share, propensities=(share,) * count)

    def _weighted(self, choosing: Choosing) -> Choice:
        weights = tuple([offer.candidate.weight or 0 for offer in choosing.offers])
        total, ends, shares = _cut(weights)
        if not total:  # only those without a share are left
            return self._random(choosing)
        index = bisect_right(ends, self._chance_of(choosing).random() * total)
        return Choice(index, shares, shares[index], propensities=shares)

    def _round_robin(self, choosing: Choosing) -> Choice:
        turn = self._turns.get(choosing.route, 0)
        self._turns[choosing.route] = turn + 1
        return Choice(turn % len(choosing.offers))

    def _cheapest(self, choosing: Choosing) -> Choice:
        prices = [choosing.price_usd(offer) for offer in choosing.offers]
        known = [index for index, price in enumerate(prices) if price is not None]
        scores = tuple(None if price is None else float(price) for price in prices)
        if not known:
            return Choice(0, scores, note="no candidate's price is known: the first is taken")
        return Choice(min(known, key=lambda index: prices[index] or Decimal(0)), scores)

    def _fastest(self, choosing: Choosing) -> Choice:
        times = tuple(
            self._latencies.expected_s(offer.provider.name, offer.model, choosing.now_s)
            for offer in choosing.offers
        )
        if None in times:
            return Choice(times.index(None), times, note="not measured lately")
        return Choice(min(range(len(times)), key=lambda index: times[index] or 0.0), times)

    def _sticky(self, choosing: Choosing) -> Choice:
        """Rendezvous hashing: who leaves or comes moves no call but its own."""
        kept_for = choosing.sticks_to(choosing.router.by or "conversation")
        if not kept_for:
            return Choice(0, note=f"the call has no {choosing.router.by or 'conversation'}")
        return Choice(
            max(
                range(len(choosing.offers)),
                key=lambda index: _weight(kept_for, choosing.offers[index]),
            )
        )

    def _conditional(self, choosing: Choosing) -> Choice:
        for index, offer in enumerate(choosing.offers):
            if choosing.holds(offer):
                return Choice(index)
        return Choice(None, note="no candidate's condition holds")

    def _plugin(self, choosing: Choosing) -> Choice:
        model = choosing.plugin(choosing.router.plugin or "")
        if model is None:
            return Choice(None, note="the router left the call as it was")
        for index, offer in enumerate(choosing.offers):
            if offer.model == model:
                return Choice(index)
        return Choice(None, note="the router named no candidate")

    def _learned(self, choosing: Choosing) -> Choice:
        risk = choosing.risk
        found = self.learned.choose(
            choosing.route, choosing.router, choosing.offers, choosing.goal, risk
        )
        return Choice(
            found.chosen,
            found.means,
            found.propensity,
            "",
            found.propensities,
            found.notes,
            found.reason,
            risk,
            found.digest,
        )

    def _chance_of(self, choosing: Choosing) -> random.Random:
        seed = choosing.router.seed
        if seed is None:
            return self._chance
        key = (choosing.route, seed)
        if key not in self._seeded:
            self._seeded[key] = random.Random(seed)  # noqa: S311 - no secret
        return self._seeded[key]


@lru_cache(maxsize=256)
def _cut(weights: tuple[int, ...]) -> tuple[int, tuple[int, ...], tuple[float, ...]]:
    """Say what weights come to, where each one's part of it ends, and its share."""
    total = sum(weights)
    shares = tuple([weight / total for weight in weights]) if total else ()
    return total, tuple(accumulate(weights)), shares


def _weight(kept_for: str, offer: Offer) -> bytes:
    text = f"{kept_for}\0{offer.key}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()


_POLICIES: Mapping[str, Callable[[Routers, Choosing], Choice]] = {
    "random": Routers._random,
    "weighted": Routers._weighted,
    "round-robin": Routers._round_robin,
    "cheapest": Routers._cheapest,
    "fastest": Routers._fastest,
    "sticky": Routers._sticky,
    "conditional": Routers._conditional,
    "plugin": Routers._plugin,
    "learned": Routers._learned,
}
