"""The breakers of all providers' models that calls went to."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from remora.policy.routing import Breaker as BreakerRule
from remora_sidecar.policy.breaker import Breaker, Circuit

MAX_BREAKERS = 1_000
"""Agents choose the names of models."""

_LOOKS = 64


class BreakerView(NamedTuple):
    """One breaker, for metrics and people."""

    provider: str
    model: str
    circuit: Circuit
    consecutive_failures: int
    opened_total: int


class Breakers:
    """Breakers by provider and model, at most `MAX_BREAKERS`."""

    def __init__(self, rule: BreakerRule | None = None, *, limit: int = MAX_BREAKERS) -> None:
        """Start with none."""
        self._rule = rule or BreakerRule()
        self._limit = limit
        self._by_target: dict[tuple[str, str], Breaker] = {}

    def apply(self, rule: BreakerRule) -> None:
        """Go by a changed policy; if its breaker is another, all circuits begin closed."""
        if rule != self._rule:
            self._rule = rule
            self._by_target.clear()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_target)

    def may_try(self, provider: str, model: str, now_s: float) -> bool:
        """Tell whether an attempt may begin, without making a breaker for the asking."""
        breaker = self._by_target.get((provider, model))
        return breaker is None or breaker.may_try(now_s)

    def may_try_all(self, targets: Iterable[tuple[str, str]], now_s: float) -> bool:
        """Tell whether an attempt may begin at each of these providers' models."""
        for target in targets:
            breaker = self._by_target.get(target)
            if breaker is not None and not breaker.may_try(now_s):
                return False
        return True

    def of(self, provider: str, model: str, now_s: float) -> Breaker:
        """Return the breaker of a target."""
        target = provider, model
        breaker = self._by_target.pop(target, None)
        if breaker is None:
            self._make_room(now_s)
            breaker = Breaker(self._rule)
        self._by_target[target] = breaker
        return breaker

    def view(self) -> Iterator[BreakerView]:
        """Show each breaker, the one asked for longest ago first."""
        for (provider, model), breaker in self._by_target.items():
            yield BreakerView(
                provider,
                model,
                breaker.circuit,
                breaker.consecutive_failures,
                breaker.opened_total,
            )

    def _make_room(self, now_s: float) -> None:
        """Forget one that says nothing, if there is one among the first; else the first."""
        if len(self._by_target) < self._limit:
            return
        first = [target for target, _ in zip(self._by_target, range(_LOOKS), strict=False)]
        idle = (target for target in first if self._by_target[target].is_idle(now_s))
        del self._by_target[next(idle, first[0])]
