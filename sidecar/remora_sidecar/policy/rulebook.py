"""The rules of a policy that calls go by: compiled once for each change. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from remora.policy import EffectivePolicy
from remora.policy.condition import Condition
from remora.policy.routing import Route
from remora.policy.spec import CallRules
from remora.providers import AuthScheme, Provider, ProviderRegistry
from remora.receipt import Receipt
from remora_sidecar.policy.key_plan import UNTOUCHED, KeyPlan, plan
from remora_sidecar.policy.routes import ModelGate, Routes, Sieve

_OF_THE_POD = frozenset({"call", "pod"})


@dataclass(frozen=True)
class Rulebook:
    """What a policy says of calls.

    Attributes:
        rules: As written, with floors.
        steers: Any of it may change, refuse or count a call; else calls pass as they are.
        routes: In their order.
        models: Which may be asked for.
        sieve: Sorts candidates.
        conditions: Every condition, by its text.
        receipt: Of a call that no rule had.
        signs: A key of the policy's may sign requests.
        shares_budgets: Other pods count on some of the budgets as well.
        has_strict_budget: Some budget holds the most that a call can use.
        across_namespaces: Learned routing learns from other namespaces.
    """

    rules: CallRules
    steers: bool
    routes: Routes
    models: ModelGate
    sieve: Sieve
    conditions: Mapping[str, Condition]
    receipt: Receipt
    signs: bool
    shares_budgets: bool
    has_strict_budget: bool
    across_namespaces: bool
    _key_plans: dict[Provider, KeyPlan] = field(default_factory=dict, repr=False)

    def key_plan(self, provider: Provider) -> KeyPlan:
        """Say what becomes of the key of calls to a provider."""
        if not self.rules.credentials:
            return UNTOUCHED
        found = self._key_plans.get(provider)
        if found is None:
            found = self._key_plans[provider] = plan(self.rules.credentials, provider)
        return found


def rulebook(effective: EffectivePolicy, registry: ProviderRegistry) -> Rulebook:
    """Compile a policy's rules.

    Args:
        effective: The policy.
        registry: Every provider that calls may be sent to, intercepted or not.
    """
    rules = effective.rules
    models = ModelGate(rules.models)
    return Rulebook(
        rules=rules,
        steers=_steers(rules),
        routes=Routes(rules.routes),
        models=models,
        sieve=Sieve(registry, models, lambda p: plan(rules.credentials, p).replace is not None),
        conditions={text: Condition.compile(text) for text in _conditions(rules.routes)},
        receipt=Receipt(effective.name, effective.version),
        shares_budgets=any(one.per not in _OF_THE_POD for one in rules.budgets),
        has_strict_budget=any(one.strict for one in rules.budgets),
        across_namespaces=effective.across_namespaces,
        signs=any(_signs(registry.get(one.provider)) for one in rules.credentials),
    )


def _signs(provider: Provider | None) -> bool:
    return provider is not None and provider.auth is AuthScheme.SIGV4


def _steers(rules: CallRules) -> bool:
    return bool(
        rules.routes
        or rules.models.restricts
        or rules.budgets
        or rules.rates
        or rules.credentials
        or rules.max_request_body is not None
        or rules.require_task
    )


def _conditions(routes: tuple[Route, ...]) -> Iterator[str]:
    for route in routes:
        if route.match.condition is not None:
            yield route.match.condition
        for candidate in route.router.candidates if route.router is not None else ():
            if candidate.condition is not None:
                yield candidate.condition
