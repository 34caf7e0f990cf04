"""Which route has a call, and where the route lets it go. Pure.

Compiled once for each change of policy. A call's operation and model decide which routes may have
it; that is looked up, not worked out anew, and only conditions are asked for each call.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from remora.policy.limits import ModelRules
from remora.policy.routing import PROMPT_OPERATIONS, Candidate, Route, Target
from remora.providers import Provider, ProviderRegistry
from remora.providers.hosts import HostForm
from remora_sidecar.dialects.parameters import NOTHING_SET, Parameters, parameters
from remora_sidecar.dialects.rewriting import path_at
from remora_sidecar.policy.routers import Offer

_MAX_REMEMBERED = 2048


class Asked(NamedTuple):
    """What routes look at in a call.

    Attributes:
        sealed: Why nothing in the request may change, such as a signature; empty if it may.
    """

    provider: Provider
    dialect: str
    operation: str
    model: str
    path: str
    sealed: str = ""


class Dropped(NamedTuple):
    """A candidate that a call can't go to, and the word for why."""

    provider: str
    model: str
    filtered_out_by: str
    parameters: Parameters = NOTHING_SET


class Routes:
    """The routes of one policy, in their order."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Take them; their models and conditions are compiled already."""
        self._routes = tuple(routes)
        self._remembered: dict[tuple[str, str], tuple[Route, ...]] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._routes)

    def of(self, operation: str, model: str, holds: Callable[[Route], bool]) -> Route | None:
        """Find the first route that takes a call; None if none does.

        Args:
            operation: Of the call.
            model: That it asks for; empty if none.
            holds: Tells whether the condition of a route holds; asked for those that have one.
        """
        for route in self._taking(operation, model):
            if route.match.condition is None or holds(route):
                return route
        return None

    def _taking(self, operation: str, model: str) -> tuple[Route, ...]:
        key = (operation, model)
        found = self._remembered.get(key)
        if found is None:
            found = tuple(r for r in self._routes if _takes(r, operation, model))
            if len(self._remembered) < _MAX_REMEMBERED:
                self._remembered[key] = found
        return found


def _takes(route: Route, operation: str, model: str) -> bool:
    match = route.match
    if operation not in (match.operations or PROMPT_OPERATIONS):
        return False
    return not match.models or any(glob.matches(model) for glob in match.models)


class Sorted(NamedTuple):
    """Candidates, those that may be taken and those that may not."""

    offers: tuple[Offer, ...]
    dropped: tuple[Dropped, ...]


class Sieve:
    """Sorts candidates by what the policy, the call and the providers allow.

    Targets are told apart by their identity: those of one policy live as long as its sieve.
    """

    def __init__(
        self,
        registry: ProviderRegistry,
        models: "ModelGate",
        has_key: Callable[[Provider], bool],
    ) -> None:
        """Take what is known beside the call.

        Args:
            registry: Every provider, intercepted or not.
            models: Which models may be asked for.
            has_key: Whether the policy has a key for a provider.
        """
        self._registry = registry
        self._models = models
        self._has_key = has_key
        self._remembered: dict[tuple[object, ...], Sorted] = {}

    def sorted(self, asked: Asked, targets: Sequence[Target]) -> Sorted:
        """Sort a route's candidates, in their order; what was sorted before is looked up."""
        key = (id(targets), asked.provider.name, asked[1:])
        found = self._remembered.get(key)
        if found is None:
            found = self._sorted(asked, targets)
            if len(self._remembered) < _MAX_REMEMBERED:
                self._remembered[key] = found
        return found

    def _sorted(self, asked: Asked, targets: Sequence[Target]) -> Sorted:
        offers, dropped = [], []
        for target in targets:
            provider = self._provider(asked, target)
            name = target.provider or asked.provider.name
            candidate = _candidate(target)
            wanted = parameters(candidate.parameters)
            why = self._why_not(asked, provider, target.model, wanted)
            if why or provider is None:
                dropped.append(Dropped(name, target.model, why, wanted))
            else:
                offers.append(Offer(provider, target.model, candidate, wanted))
        return Sorted(tuple(offers), tuple(dropped))

    def _provider(self, asked: Asked, target: Target) -> Provider | None:
        if target.provider in (None, asked.provider.name):
            return asked.provider
        return self._registry.get(target.provider or "")

    def _why_not(
        self, asked: Asked, provider: Provider | None, model: str, wanted: Parameters
    ) -> str:
        if provider is None:
            return "unknown_provider"
        if not self._models.permits(model):
            return "model_denied"
        if provider is not asked.provider:
            return self._why_not_there(asked, provider)
        return asked.sealed if model != asked.model or wanted.text else ""

    def _why_not_there(self, asked: Asked, provider: Provider) -> str:
        if asked.dialect not in provider.dialects:
            return "dialect"
        if asked.sealed:
            return asked.sealed
        if not self._has_key(provider):
            return "credential"
        if host_of(provider) is None or path_at(asked.dialect, asked.path, provider) is None:
            return "address"
        return ""


def _candidate(target: Target) -> Candidate:
    return target if isinstance(target, Candidate) else Candidate(model=target.model)


def host_of(provider: Provider) -> str | None:
    """Name the host that a provider's calls are sent to; None if it has only patterns."""
    return next((h.text for h in provider.hosts if h.form is HostForm.EXACT), None)


class ModelGate:
    """Which models may be asked for; asked for every call, so it remembers."""

    def __init__(self, rules: ModelRules) -> None:
        """Take what the policy says, floors included."""
        self._rules = rules
        self._remembered: dict[str, bool] = {}

    @property
    def restricts(self) -> bool:
        """Whether any model may be refused."""
        return self._rules.restricts

    def permits(self, model: str) -> bool:
        """Tell whether a model may be asked for; one that can't be told may not, if any may not."""
        if not self._rules.restricts:
            return True
        known = self._remembered.get(model)
        if known is None:
            known = bool(model) and self._rules.permits(model)
            if len(self._remembered) < _MAX_REMEMBERED:
                self._remembered[model] = known
        return known
