"""What a group of calls used and cost, as the aggregator sums it up."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from remora.wire_money import usd_of
from remora_proto.v1 import records_pb2 as pb


class UsageDimension(Enum):
    """What usage can be grouped by; values are the wire numbers."""

    MODEL = 1
    PROVIDER = 2
    SESSION = 3
    DATA = 4
    COMBO = 5
    AGENT = 6
    TASK = 7
    NAMESPACE = 8
    OPERATION = 9
    DIALECT = 10
    WORKLOAD = 11
    POD = 12
    REQUESTED_MODEL = 13
    SENT_MODEL = 14
    RESPONSE_MODEL = 15
    STATUS = 16
    ERROR = 17
    RULE = 18
    CACHE = 19


class Measure(Enum):
    """A span of time that calls have, in seconds; values are the wire numbers."""

    LATENCY = 1
    TTFT = 2
    OVERHEAD = 3


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a measure.

    Attributes:
        quantile: Which one, between 0 and 1.
        value_s: In seconds.
        error: How far, as a part of it, the true value may be from `value_s`.
    """

    measure: Measure
    quantile: float
    value_s: float
    error: float


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The sums of one group.

    Attributes:
        keys: One value for each dimension asked for, in its order.
        unread_usage_calls: Calls that succeeded and whose usage could not be read: the
            sums of tokens lack theirs.
        unpriced_calls: Calls with usage but without a known price: the cost lacks theirs.
        cost_usd: Sum over the priced calls; None where no call was priced.
        estimated_calls: Calls whose usage is Remora's own estimate.
        saved_usd: What answers from the cache would have cost; None where nothing was saved, or
            nobody knows how much.
        saved_s: What they would have taken.
        start_unix_ns: When its span of time begins, where an interval was asked for.
        quantiles: Those that were asked for, of measures that its calls have.
    """

    keys: tuple[str, ...]
    calls: int
    errors: int
    unread_usage_calls: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    latency_sum_s: float
    cached_calls: int
    priced_calls: int = 0
    estimated_calls: int = 0
    saved_usd: Decimal | None = None
    saved_s: float = 0.0
    start_unix_ns: int = 0
    quantiles: tuple[Quantile, ...] = ()

    def quantile_s(self, measure: Measure, quantile: float) -> float | None:
        """Return a quantile in seconds; None where no call has the measure."""
        found = (
            one.value_s
            for one in self.quantiles
            if one.measure is measure and one.quantile == quantile
        )
        return next(found, None)


def from_message(message: pb.UsageRow, quantile_error: float = 0.0) -> UsageRow:
    """Read the wire form; raises `decimal.InvalidOperation` where money is no decimal.

    Args:
        message: One row.
        quantile_error: How far quantiles may be from the true value, as the answer says.
    """
    return UsageRow(
        keys=tuple(message.keys),
        calls=message.calls,
        errors=message.errors,
        unread_usage_calls=message.unread_usage_calls,
        unpriced_calls=message.unpriced_calls,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        cache_read_tokens=message.cache_read_tokens,
        cache_write_tokens=message.cache_write_tokens,
        reasoning_tokens=message.reasoning_tokens,
        cost_usd=usd_of(message.cost_usd) if message.cost_usd else None,
        latency_sum_s=message.latency_sum_s,
        cached_calls=message.cached_calls,
        priced_calls=message.priced_calls,
        estimated_calls=message.estimated_calls,
        saved_usd=usd_of(message.saved_usd) if message.saved_usd else None,
        saved_s=message.saved_s,
        start_unix_ns=message.start_unix_nano,
        quantiles=tuple(_quantiles(message, quantile_error)),
    )


_MEASURES = {measure.value: measure for measure in Measure}


def _quantiles(message: pb.UsageRow, error: float) -> Iterator[Quantile]:
    """Pass over measures of a newer aggregator."""
    for one in message.quantiles:
        if (measure := _MEASURES.get(one.measure)) is not None:
            yield Quantile(measure, one.quantile, one.value_s, error)
