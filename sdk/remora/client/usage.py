"""What a group of calls used and cost, as the aggregator sums it up."""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

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


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The sums of one group.

    Attributes:
        keys: One value for each dimension asked for, in its order.
        unread_usage_calls: Calls that succeeded and whose usage could not be read: the
            sums of tokens lack theirs.
        unpriced_calls: Calls with usage but without a known price: the cost lacks theirs.
        cost_usd: Sum over the priced calls; None where no call was priced.
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


def from_message(message: pb.UsageRow) -> UsageRow:
    """Read the wire form; raises `decimal.InvalidOperation` where money is no decimal."""
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
        cost_usd=Decimal(message.cost_usd) if message.cost_usd else None,
        latency_sum_s=message.latency_sum_s,
        cached_calls=message.cached_calls,
    )
