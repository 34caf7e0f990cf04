"""Models that answer when a test says so; each call that is paid leaves a record in a spool."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from remora.ids import new_call_id
from remora.records import Attribution, CallRecord, Cost, Usage
from remora_sidecar.spool.spool import Spool
from remora_sidecar.workflow_runs.asking import Outcome
from remora_sidecar.workflow_runs.caller import Caller
from remora_sidecar.workflow_runs.receipts import Receipts, Slip, span_of
from remora_sidecar.workflows.question import Question

type Name = tuple[str, str]
"""Execution and key of a call."""

type Says = Callable[[Slip], Outcome]

NOTHING = "nothing"
"""The price of a call that was never made: it has no record."""


class ScriptedModels:
    """Stand for `Asking`.

    Attributes:
        open: Calls in flight, by who is waiting for them.
        over: Steps of runs that are over, as they told: none may be asked again.
        records: All that were made.
        is_dead: Whether calls are cut because the process is: nothing is recorded any more.
    """

    def __init__(self, spool: Spool) -> None:
        """Answer nothing yet."""
        self.open: dict[Name, tuple[asyncio.Future[Says], Caller, Slip]] = {}
        self.over: set[tuple[str, str]] = set()
        self.records: list[CallRecord] = []
        self.is_dead = False
        self._cut_costs = itertools.cycle(("0.0003", None, NOTHING))
        self._keys: set[Name] = set()
        self._receipts = Receipts()
        self._spool = spool

    def awaited(self, key: str, caller: Caller) -> contextlib.AbstractContextManager[Slip]:
        return self._receipts.awaited(caller.trace_id, span_of(caller.execution_id, key))

    async def ask(self, key: str, question: Question, caller: Caller, slip: Slip) -> Outcome:
        if self.is_dead:  # what a killed process would not have done any more
            await asyncio.get_running_loop().create_future()
        name = (caller.execution_id, key)
        assert name not in self._keys, "a key is used twice"
        assert (caller.execution_id, question.step_id) not in self.over, "asked after its end"
        self._keys.add(name)
        said: asyncio.Future[Says] = asyncio.get_running_loop().create_future()
        self.open[name] = (said, caller, slip)
        try:
            return (await said)(slip)
        except asyncio.CancelledError:
            if not self.is_dead:
                self.record(name, next(self._cut_costs))
            raise
        finally:
            del self.open[name]

    def say(self, name: Name, says: Says) -> None:
        """Let a call come to its end."""
        said, *_ = self.open[name]
        if not said.done():
            said.set_result(says)

    def record(self, name: Name, cost: str | None) -> None:
        """Write down what a call took, once, as the engine does before its answer ends."""
        _, caller, slip = self.open[name]
        if slip.bill is not None or cost == NOTHING:
            return
        record = _record(name, caller, len(self.records), cost)
        self.records.append(record)
        self._spool.append(record)
        self._receipts.take(record)

    def revise(self, cost: str) -> None:
        """Say something else of what the last call cost."""
        usd = Decimal(cost)
        told = replace(self.records[-1], revision=1, cost=_cost(usd))
        self.records[-1] = told
        self._spool.append(told)


def _record(name: Name, caller: Caller, number: int, cost: str | None) -> CallRecord:
    usd = None if cost is None else Decimal(cost)
    return CallRecord(
        new_call_id(number * 1_000_000),
        1,
        provider="acme",
        requested_model="m",
        attribution=Attribution(trace_id=caller.trace_id, parent_span_id=span_of(*name)),
        usage=Usage(input_tokens=7, output_tokens=3),
        cost=None if usd is None else _cost(usd),
    )


def known_usd(record: CallRecord) -> Decimal:
    """What is known of what a call cost."""
    return Decimal(0) if record.cost is None else record.cost.total_usd


def _cost(usd: Decimal) -> Cost:
    return Cost(usd, usd, Decimal(0), "test", "2026-01-01")
