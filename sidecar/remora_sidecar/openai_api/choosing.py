"""Which model a request goes to: the one that it names, or the cheapest that can take it."""

from collections.abc import Iterator, Sequence

from remora.policy.routing import PROMPT_OPERATIONS, Route
from remora.providers import Provider
from remora.workflows.catalogue import Catalogue
from remora.workflows.choosing import Candidate
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.openai_api.asked import Asked
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.openai_api.offers import Offers, always
from remora_sidecar.openai_api.plan import (
    MAX_LEGS,
    MAX_SHOWN,
    Leg,
    NoModels,
    Out,
    Plan,
    leg_of,
    no_models,
)
from remora_sidecar.openai_api.wanted import refused_parameter, tier_of, tiers_from, wanted_of


class Choosing:
    """Plans requests, by the policy, the prices and the keys as they are."""

    def __init__(self, parts: EngineParts, offers: Offers) -> None:
        """Take what is known of models and of the policy in force."""
        self._parts = parts
        self._offers = offers

    def plan(self, asked: Asked, key: ClientKey, goal: str = "") -> Plan | NoModels:
        """Say where a request is to be sent.

        Args:
            asked: The request.
            key: Whose it is.
            goal: What the client says that it is for; empty: rules tell.
        """
        if not asked.is_auto:
            return self._named(asked, key, goal)
        route = self._route_for(asked)
        if route is not None and (leg := self._entry_to(route, asked, key)) is not None:
            return Plan((leg,), asked.model, goal)
        return self._chosen(asked, key, goal)

    # a model that was named

    def _named(self, asked: Asked, key: ClientKey, goal: str) -> Plan | NoModels:
        dropped = []
        for provider, model in self._called(asked, key):
            why = self._offers.why_not(asked.surface, provider, model, key, was_named=True)
            if not why:
                return Plan((Leg(provider, model),), asked.model, goal)
            dropped.append(Out(provider.name, model, why))
        return no_models(asked.model, dropped)

    def _called(self, asked: Asked, key: ClientKey) -> Iterator[tuple[Provider, str]]:
        """Go through who may be meant by a model's name, likeliest first."""
        name = asked.model
        begin, slash, rest = name.partition("/")
        by_prefix = self._offers.provider(begin) if slash and rest else None
        entries = Catalogue.builtin().find(name)
        known = [self._offers.provider(entry.provider) for entry in entries]
        yield from ((one, name) for one in self._offers.providers() if self._is_own(one, name))
        yield from ((one, name) for one in known if one is not None)
        if by_prefix is not None:
            yield by_prefix, rest
            return
        for provider in self._offers.providers():
            if provider not in known and self._offers.price_of(provider.name, name) is not None:
                yield provider, name
        if not known:
            yield from self._only_one(asked, key)

    def _is_own(self, provider: Provider, name: str) -> bool:
        return not provider.built_in and self._offers.price_of(provider.name, name) is not None

    def _only_one(self, asked: Asked, key: ClientKey) -> Iterator[tuple[Provider, str]]:
        """Give the provider that serves what no list knows, where only one can be asked at all."""
        usable = [
            one
            for one in self._offers.providers()
            if (one.tls or not one.built_in)
            and not self._offers.why_not(asked.surface, one, asked.model, key, was_named=False)
        ]
        if len(usable) == 1:
            yield usable[0], asked.model

    # a model that is to be chosen

    def _route_for(self, asked: Asked) -> Route | None:
        """Find the route by which policy chooses for requests that leave it open."""
        for route in self._parts.policy.rulebook.rules.routes:
            names_it = any(glob.matches(asked.model) for glob in route.match.models)
            takes_it = asked.surface.operation in (route.match.operations or PROMPT_OPERATIONS)
            if names_it and takes_it and route.router and route.match.condition is None:
                return route
        return None

    def _entry_to(self, route: Route, asked: Asked, key: ClientKey) -> Leg | None:
        """Send it to a provider of the route's, which does the rest."""
        assert route.router is not None  # noqa: S101 - the caller has looked
        for target in (*route.router.candidates, *route.fallback):
            provider = self._offers.provider(target.provider or "openai")
            if provider is None:
                continue
            named = self._offers.why_not(
                asked.surface, provider, target.model, key, was_named=False
            )
            if not named:
                return Leg(provider, asked.model)
        return None

    def _chosen(self, asked: Asked, key: ClientKey, goal: str) -> Plan | NoModels:
        view = RequestView(RequestHead("POST", "", f"/v1{asked.surface.path}", "", ()), asked.body)
        goal = goal or self._parts.steering.goal_rules.goal_of(asked.surface.operation, view)
        tier = tier_of(asked, view, goal)
        market = self._offers.market(Catalogue.builtin(), always(asked.surface), key)
        found: list[Leg] = []
        dropped: list[Out] = []
        for of in tiers_from(tier):
            choice = market.choose(wanted_of(asked, view, goal, tier, of))
            self._sort(asked, choice.candidates, found, dropped)
            of_tier = (one for one in choice.dropped if one[0].tier == of)
            dropped += [Out(entry.provider, entry.model, why) for entry, why in of_tier]
        if not found:
            return no_models(asked.model, dropped)
        legs = self._quick_first(found, asked.max_latency_s)
        return Plan(tuple(legs[:MAX_LEGS]), asked.model, goal, tier, tuple(legs[:MAX_SHOWN]))

    def _sort(
        self, asked: Asked, candidates: Sequence[Candidate], found: list[Leg], dropped: list[Out]
    ) -> None:
        """Leave out who is known to refuse a field of the request."""
        for candidate in candidates:
            entry = candidate.entry
            provider = self._offers.provider(entry.provider)
            refuses = _refuses(asked, entry.provider, thinks="reasoning" in entry.capabilities)
            if refuses or provider is None:
                dropped.append(Out(entry.provider, entry.model, refuses))
            else:
                found.append(leg_of(candidate, provider))

    def _quick_first(self, legs: list[Leg], within_s: float | None) -> Sequence[Leg]:
        """Put behind the others who is known to be slower than the client wants."""
        if within_s is None:
            return legs

        def is_slow(leg: Leg) -> bool:
            expected = self._offers.expected_s(leg.provider.name, leg.model)
            return expected is not None and expected > within_s

        return sorted(legs, key=is_slow)


def _refuses(asked: Asked, provider: str, *, thinks: bool) -> str:
    if asked.surface.operation == "text_completion" and provider == "openai":
        return "takes chats only"
    if asked.surface.operation != "chat":
        return ""
    name = refused_parameter(provider, thinks=thinks, fields=asked.fields)
    return f"refuses {name}" if name else ""
