"""What became of calls that were carried: told by their records, which end before answers do."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final, NamedTuple

from remora.records import CallRecord, Usage

_KEPT: Final = 4_096
"""Records that nobody has asked for; those of agents' calls are among them."""


class Carried(NamedTuple):
    """What a call's record says of it.

    Attributes:
        model: That was asked for at the provider.
        cost_usd: Of the call and of its tries that failed; None if unknown.
        usage: None where it could not be read.
        rule: The route of policy's that had the call; empty if none had.
    """

    call_id: str
    provider: str
    model: str
    cost_usd: Decimal | None
    usage: Usage | None
    is_cached: bool
    goal: str
    rule: str


class CarriedCalls:
    """Keeps what is told of calls while anybody waits for any."""

    def __init__(self) -> None:
        """Wait for none."""
        self._waiting = 0
        self._told: OrderedDict[str, Carried] = OrderedDict()

    def take(self, record: CallRecord) -> None:
        """Take a record; never waits and never raises."""
        if not self._waiting or record.revision:
            return
        self._told[record.call_id] = carried_of(record)
        if len(self._told) > _KEPT:
            self._told.popitem(last=False)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Keep what is told for as long as this stands."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._told.clear()

    def of(self, call_id: str) -> Carried | None:
        """Say what became of a call, once; None if nothing was told."""
        return self._told.pop(call_id, None)


def carried_of(record: CallRecord) -> Carried:
    """Read what a record says of its call."""
    return Carried(
        record.call_id,
        record.provider,
        record.sent_model or record.requested_model,
        record.paid_usd,
        record.usage,
        record.cached,
        record.attribution.goal,
        record.receipt.rule if record.receipt is not None else "",
    )
