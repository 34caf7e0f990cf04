"""What may be asked now: by policy, with the keys there are, at providers that are well."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from remora.policy.provider_document import provider_of
from remora.providers import AuthScheme, Provider
from remora.providers.hosts import HostForm
from remora.workflows.capabilities import Overrides
from remora.workflows.catalogue import Catalogue, CatalogueModel
from remora.workflows.choosing import Market, ModelPrice
from remora_sidecar.engine.keys import Key
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.openai_api.surface import Surface

_MILLION: Final = 1_000_000
_SMALL: Final = 1_000
"""Tokens by which a price is told: no model's price changes with the length of such a prompt."""

_KEYS_SENT: Final = frozenset({AuthScheme.BEARER, AuthScheme.X_API_KEY, AuthScheme.X_GOOG_API_KEY})
"""Schemes whose providers take the key of OpenAI's formats as a bearer's."""

_NO_KEY: Final = "no key"

type SurfaceOf = Callable[[Provider], Surface | None]
"""Says by which call a provider would be asked; None: by none."""


def always(surface: Surface) -> SurfaceOf:
    """Ask every provider by the same call."""
    return lambda _: surface


class Offers:
    """Says which models a client may be given, as things are."""

    def __init__(self, parts: EngineParts, overrides: Callable[[], Overrides]) -> None:
        """Look at the engine's parts whenever something is asked."""
        self._parts = parts
        self._overrides = overrides

    def load(self) -> None:
        """Load what the first choice needs; takes a while: not for the loop."""
        Catalogue.builtin()
        self._parts.prices.load()

    @property
    def overrides(self) -> Overrides:
        """The namespace's own meanings of capabilities."""
        return self._overrides()

    def market(self, catalogue: Catalogue, surface_of: SurfaceOf, key: ClientKey) -> Market:
        """Give what a client may be given of a catalogue's models.

        Args:
            catalogue: What there is.
            surface_of: Says by which call a provider would be asked.
            key: What the client sent.
        """

        def permits(entry: CatalogueModel) -> str:
            provider = self.provider(entry.provider)
            if provider is None:
                return "not intercepted"
            return self.why_not(surface_of(provider), provider, entry.model, key, was_named=False)

        return Market(catalogue, self.price_of, self.overrides, permits, self.today)

    @property
    def today(self) -> str:
        """The day, as ISO date."""
        now_s = self._parts.clock.now_unix_ns() // 1_000_000_000
        return datetime.fromtimestamp(now_s, UTC).date().isoformat()

    def provider(self, name: str) -> Provider | None:
        """Find a provider whose calls are intercepted."""
        return self._parts.policy.registry.get(name)

    def providers(self) -> Iterator[Provider]:
        """Go through the providers whose calls are intercepted, one's own first."""
        every = tuple(self._parts.policy.registry)
        yield from (one for one in every if not one.built_in)
        yield from (one for one in every if one.built_in)

    def own_models(self) -> Iterator[tuple[Provider, str]]:
        """Name the models whose prices the policy's own providers state, but for patterns."""
        for document in self._parts.policy.effective.providers:
            provider = self.provider(provider_of(document).name)
            for price in document.spec.prices if provider is not None else ():
                name = str(price.model.text)
                if provider is not None and not set(name) & set("*?["):
                    yield provider, name

    def why_not(
        self,
        surface: Surface | None,
        provider: Provider,
        model: str,
        key: ClientKey,
        *,
        was_named: bool,
    ) -> str:
        """Say why a model may not be asked for now; empty if it may.

        Args:
            surface: Which call; None: there is none by which the provider could be asked.
            provider: Whose model it is.
            model: Its name.
            key: What the client sent.
            was_named: The client asked for this model.
        """
        return (
            self._cant_take(surface, provider)
            or ("" if self._parts.policy.rulebook.models.permits(model) else "model_denied")
            or self._no_key(provider, key, was_named=was_named)
            or ("" if was_named or self._is_well(provider, model) else "circuit_open")
        )

    def _cant_take(self, surface: Surface | None, provider: Provider) -> str:
        if surface is None:
            return "speaks no dialect that can be asked in"
        if surface.dialect not in provider.base_paths:
            return f"does not speak {surface.dialect}"
        if all(host.form is not HostForm.EXACT for host in provider.hosts):
            return "no host of one name"
        return ""

    def _no_key(self, provider: Provider, key: ClientKey, *, was_named: bool) -> str:
        plan = self._parts.policy.rulebook.key_plan(provider)
        if plan.replace is not None:
            found = self._parts.keys.find(plan.replace, provider)
            return "" if isinstance(found, Key) else _NO_KEY
        if not (provider.built_in and provider.tls):
            return ""  # of others than the built-in ones nobody knows whether they need one
        if plan.strip or provider.auth not in _KEYS_SENT:
            return _NO_KEY
        return "" if key.may_go_to(provider.name, was_named=was_named) else _NO_KEY

    def _is_well(self, provider: Provider, model: str) -> bool:
        now_s = self._parts.clock.monotonic_s()
        return self._parts.steering.breakers.may_try(provider.name, model, now_s)

    def price_of(self, provider_name: str, model: str) -> ModelPrice | None:
        """Give the price of a model; None if nobody knows it."""
        provider = self.provider(provider_name)
        if provider is None:
            return None
        entered = self._usd(provider, model, _SMALL, 0)
        written = self._usd(provider, model, 0, _SMALL)
        if entered is None or written is None:
            return None
        times = _MILLION // _SMALL
        return ModelPrice(entered * times, written * times)

    def _usd(self, provider: Provider, model: str, entered: int, written: int) -> Decimal | None:
        now = self._parts.clock.now_unix_ns()
        return self._parts.prices.estimate_usd(provider.price_id, model, entered, written, now)

    def expected_s(self, provider: str, model: str) -> float | None:
        """Say how soon a model's first output is likely to come; None if nothing is known."""
        now_s = self._parts.clock.monotonic_s()
        return self._parts.steering.latencies.expected_s(provider, model, now_s)
