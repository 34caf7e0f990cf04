"""What the calls of a task sum up to, exactly, in whatever order their records come. Pure."""

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Final, NamedTuple

from remora.client.task import TaskTotals
from remora.records import CallRecord, EndReason

_EXACT: Final = Context(prec=400, traps=[])
"""More digits than any sum has, and nothing raises: this is reckoned while a call ends."""

_FAILED: Final = frozenset({EndReason.PROVIDER_CUT, EndReason.NO_ANSWER, EndReason.REFUSED})


class Sums(NamedTuple):
    """Figures of one call, or of many added up.

    Attributes:
        refused_calls: Those that Remora refused; they count as errors, too.
        unpriced_calls: Those with usage but without a known price.
        priced_calls: Those whose cost is in `cost_usd`.
        cost_usd: Tries that failed included.
    """

    calls: int = 0
    errors: int = 0
    refused_calls: int = 0
    cached_calls: int = 0
    unpriced_calls: int = 0
    priced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def plus(self, other: "Sums") -> "Sums":
        """Add figures."""
        return self._with(other, 1)

    def minus(self, other: "Sums") -> "Sums":
        """Take figures away that were added before."""
        return self._with(other, -1)

    def _with(self, other: "Sums", sign: int) -> "Sums":
        return Sums(
            self.calls + sign * other.calls,
            self.errors + sign * other.errors,
            self.refused_calls + sign * other.refused_calls,
            self.cached_calls + sign * other.cached_calls,
            self.unpriced_calls + sign * other.unpriced_calls,
            self.priced_calls + sign * other.priced_calls,
            self.input_tokens + sign * other.input_tokens,
            self.output_tokens + sign * other.output_tokens,
            _EXACT.fma(Decimal(sign), other.cost_usd, self.cost_usd),
        )

    def totals(self, first_call_unix_ns: int, last_call_unix_ns: int) -> TaskTotals:
        """Show them as a task's totals."""
        return TaskTotals(
            calls=self.calls,
            errors=self.errors,
            refused_calls=self.refused_calls,
            cached_calls=self.cached_calls,
            unpriced_calls=self.unpriced_calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd if self.priced_calls else None,
            first_call_unix_ns=first_call_unix_ns,
            last_call_unix_ns=last_call_unix_ns,
        )


NO_CALLS: Final = Sums()


def figures_of(record: CallRecord) -> Sums:
    """Read one call's figures; what a cached answer states was used by the call that made it."""
    usage = None if record.cached else record.usage
    costs = _costs(record)
    return Sums(
        calls=1,
        errors=int(is_error(record)),
        refused_calls=int(record.end_reason is EndReason.REFUSED),
        cached_calls=int(record.cached),
        unpriced_calls=int(record.usage is not None and record.cost is None),
        priced_calls=int(bool(costs)),
        input_tokens=0 if usage is None else usage.input_tokens or 0,
        output_tokens=0 if usage is None else usage.output_tokens or 0,
        cost_usd=_sum(costs),
    )


def is_error(record: CallRecord) -> bool:
    """Tell whether a call failed, whoever's fault it was."""
    return record.error is not None or record.status_code >= 400 or record.end_reason in _FAILED


def _costs(record: CallRecord) -> list[Decimal]:
    failed = (attempt.cost for attempt in record.attempts)
    return [cost.total_usd for cost in (record.cost, *failed) if cost is not None]


def _sum(costs: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for cost in costs:
        total = _EXACT.add(total, cost)
    return total
