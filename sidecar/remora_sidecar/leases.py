"""Keeps this pod's leases of shared budgets, for as long as the sidecar runs.

One task asks the aggregator for shares of the budgets in use, reports what was spent, and gives
back what nobody uses. A call waits a moment where its share is missing or too small; where the
aggregator can't be asked, budgets are counted as their `onUnreachable` says.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Sequence

import grpc

from remora.clock import Clock
from remora.errors import RemoraError
from remora.pauses import GrowingPause, Sleep, first_of
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc
from remora_sidecar.engine.task_gate import TaskHold
from remora_sidecar.grpc_peer import Target, explained
from remora_sidecar.lease_wire import grants_of, request_of
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.book import Wanted
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger
from remora_sidecar.policy.shares import Share, Shares
from remora_sidecar.task_watch import hold_of_grant

logger = logging.getLogger(__name__)

RENEW_EVERY_S = 5.0
WAIT_S = 0.25
"""How long a call waits for a share."""

SHORT_S = 1.0
"""How long nobody asks again for more than was granted."""

_ANSWER_S = 5.0
_AT_ONCE = 1_000
_GRAIN_S = 0.01

_MEANINGS = {
    grpc.StatusCode.PERMISSION_DENIED: "this sidecar may not ask it for budgets",
    grpc.StatusCode.UNIMPLEMENTED: "it keeps no budgets: another program, or another version",
}


class Leases:
    """The leases of one ledger.

    Attributes:
        problem: Why shared budgets are counted by this pod alone; empty if they are not.
        task_heard: Told what the aggregator says of a task whose budget was asked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        target: Target,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """Share the ledger's budgets from now on; nothing is dialled before `run`.

        Args:
            ledger: Whose budgets are shared.
            target: The aggregator.
            clock: By its monotonic time leases end.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
            new_id: Makes the ids of leases.
        """
        self.problem = ""
        self.task_heard: Callable[[TaskHold], None] = lambda hold: None
        self._requests = 0
        self._ledger = ledger
        self._target = target
        self._clock = clock
        self._sleep = sleep
        self._shares = Shares(new_id)
        self._closing = False
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._next_pause = GrowingPause(jitter)
        ledger.lease_clock = clock.monotonic_s

    async def ready(
        self, keys: BudgetKeys, estimate: Amount, now_unix_ns: int, *, most: Amount | None = None
    ) -> None:
        """Wait, for a moment, until a call's budgets have the shares it needs; then reserve.

        Takes what `Ledger.reserve` takes. Returns at once where there is enough, where more was
        asked for and refused just now, and where the aggregator can't be asked.
        """
        now_s = self._clock.monotonic_s()
        usual = Wanted.of(estimate)
        strict = usual if most is None else Wanted.of(most)
        page = self._ledger.page(keys, now_unix_ns)
        lacking = [
            (share, wanted)
            for share, wanted in self._shares.lacking(page, usual, strict, now_s)
            if not (share.is_short and now_s - share.granted_s < SHORT_S)
        ]
        if not lacking:
            return
        for share, wanted in lacking:
            share.need(wanted, now_s)
        self._wake.set()
        if not self.problem:
            answered = self._answered
            await first_of(answered.wait(), self._sleep(WAIT_S))

    async def give_back(self, timeout_s: float) -> bool:
        """Report what was spent and return all leases, while `run` goes on; no call may follow.

        Returns:
            Whether the aggregator took them in time.
        """
        self._closing = True
        while len(self._shares) and not self.problem and timeout_s > 0:
            began_s = self._clock.monotonic_s()
            self._wake.set()
            await first_of(self._answered.wait(), self._sleep(timeout_s))
            timeout_s -= max(_GRAIN_S, self._clock.monotonic_s() - began_s)
        return not len(self._shares)

    async def run(self) -> None:
        """Ask, report and give back until cancelled."""
        while True:
            try:
                await self._converse()
            except grpc.aio.AioRpcError as error:
                self._failed(explained(error, _MEANINGS))
            except (OSError, RemoraError) as error:
                self._failed(str(error))
            await self._sleep(self._next_pause.next_s())

    async def _converse(self) -> None:
        async with self._target.aio_channel() as channel:
            stub = pb_grpc.TaskServiceStub(channel)
            while True:
                if not len(self._shares):
                    await self._wake.wait()
                self._wake.clear()
                # Who waits from now on waits for the next round.
                answered, self._answered = self._answered, asyncio.Event()
                try:
                    await self._round(stub)
                finally:
                    answered.set()
                await first_of(self._wake.wait(), self._sleep(RENEW_EVERY_S))

    async def _round(self, stub: "pb_grpc.TaskServiceAsyncStub") -> None:
        shares = self._shares.all()
        for start in range(0, len(shares), _AT_ONCE):
            await self._ask(stub, shares[start : start + _AT_ONCE])
        self._shares.forget_over()
        if self.problem:
            logger.warning("shared budgets are kept with %s again", self._target.address)
        self.problem = ""
        self._next_pause.begin_anew()

    async def _ask(self, stub: "pb_grpc.TaskServiceAsyncStub", shares: Sequence[Share]) -> None:
        asked_s = self._clock.monotonic_s()
        asks = [share.ask(asked_s, closing=self._closing) for share in shares]
        self._requests += 1
        response = await stub.Lease(request_of(asks, self._requests), timeout=_ANSWER_S)
        for share, ask, grant in zip(shares, asks, grants_of(response, asks), strict=True):
            if share.take(ask, grant, asked_s):
                self._ledger.revision += 1
        for ask, answer in zip(asks, response.grants, strict=True):
            if (hold := hold_of_grant(ask.account.key, answer)) is not None:
                self.task_heard(hold)

    def _failed(self, why: str) -> None:
        problem = f"the aggregator at {self._target.address} leases no budgets: {why}"
        if problem != self.problem:
            logger.warning("%s; shared budgets are counted as their onUnreachable says", problem)
        self.problem = problem
