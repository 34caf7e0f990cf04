"""A sidecar's ledger and lease client as a process: makes calls until its input ends.

Prints a line of JSON for each call that was let go, once it is settled: what it cost, and how much
that was beyond what had been reserved for it.
"""

import asyncio
import json
import random
import sys
from contextlib import suppress
from decimal import Decimal

from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.policy.limits import Budget
from remora_sidecar.leases import Leases
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger


async def _calls(leases: Leases, ledger: Ledger, chance: random.Random) -> None:
    clock, keys = SystemClock(), BudgetKeys("t", "session", "", "pod", "team-a")
    while True:
        thought = Decimal(chance.randint(1, 20)) / 1000
        estimate = Amount(thought, 0)
        await leases.ready(keys, estimate, clock.now_unix_ns())
        admission = ledger.reserve(keys, estimate, clock.now_unix_ns())
        if admission.reservation is not None:
            await asyncio.sleep(chance.random() / 50)
            cost = thought * Decimal(chance.choice(["0.5", "1", "1", "1.5"]))
            ledger.settle(admission.reservation, Amount(cost, 0))
            told = {"cost": str(cost), "beyond": str(max(Decimal(0), cost - thought))}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
        await asyncio.sleep(chance.random() / 25)


async def main(address: str, limit: str, seed: str) -> None:
    """Make calls until nobody wants more, then give all leases back."""
    budget = {"name": "b", "per": "task", "maxCostUSD": limit, "onUnreachable": "block"}
    ledger = Ledger([Budget.model_validate(budget)])
    leases = Leases(ledger, AggregatorTarget(address), clock=SystemClock())
    running = asyncio.ensure_future(leases.run())
    calling = asyncio.ensure_future(_calls(leases, ledger, random.Random(seed)))  # noqa: S311
    await asyncio.to_thread(sys.stdin.read)
    calling.cancel()
    with suppress(asyncio.CancelledError):
        await calling
    async with asyncio.timeout(180):
        while not await leases.give_back(1):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    running.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
