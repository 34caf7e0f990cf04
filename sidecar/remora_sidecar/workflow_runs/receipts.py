"""What a run's calls took, as their records say: each ask is a span of its run's trace."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

from remora.records import CallRecord
from remora_sidecar.workflows.amounts import Bill

_SPAN_DIGITS: Final = 16


def span_of(execution_id: str, key: str) -> str:
    """Name the span of an ask, the same before and after a restart: 16 hex digits."""
    return hashlib.sha256(f"{execution_id} {key}".encode()).hexdigest()[:_SPAN_DIGITS]


def bill_of(record: CallRecord) -> Bill:
    """Read a bill from a record; what a cached answer once took is not paid again."""
    usage = record.usage
    cost = record.paid_usd
    is_free = record.cached or (usage is None and cost == 0)
    return Bill(
        call_id=record.call_id,
        provider=record.provider,
        model=record.sent_model or record.requested_model,
        cost_usd=Decimal(0) if record.cached else cost,
        input_tokens=0 if is_free or usage is None else usage.input_tokens,
        output_tokens=0 if is_free or usage is None else usage.output_tokens,
        latency_ms=round(record.latency_s * 1000),
    )


class Slip:
    """The bill of one ask, once it is in."""

    def __init__(self) -> None:
        """Begin without one."""
        self.bill: Bill | None = None
        self.record: CallRecord | None = None
        self._is_in = asyncio.Event()

    def take(self, record: CallRecord) -> None:
        """Take the call's record; a later revision of it says more."""
        self.record, self.bill = record, bill_of(record)
        self._is_in.set()

    async def within(self, limit_s: float) -> Bill | None:
        """Wait for it up to a limit; None: no call was made, as far as anybody knows."""
        try:
            async with asyncio.timeout(limit_s):
                await self._is_in.wait()
        except TimeoutError:
            return None
        return self.bill


class Receipts:
    """Hands records to the asks that they belong to; hears of all of the engine's."""

    def __init__(self) -> None:
        """Begin with none awaited."""
        self._slips: dict[tuple[str, str], Slip] = {}

    def take(self, record: CallRecord) -> None:
        """Take a record; never waits and never raises."""
        if self._slips:
            said = record.attribution
            slip = self._slips.get((said.trace_id, said.parent_span_id))
            if slip is not None:
                slip.take(record)

    @contextmanager
    def awaited(self, trace_id: str, span_id: str) -> Iterator[Slip]:
        """Give the slip of one ask, which is filled for as long as this stands."""
        slip = self._slips[trace_id, span_id] = Slip()
        try:
            yield slip
        finally:
            del self._slips[trace_id, span_id]
