"""Sidecars' own lease clients on one budget, over real gRPC; some of them die on the way."""

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal

import grpc
import pytest

from remora.policy.limits import Budget
from remora.testing.clock import ManualClock
from remora_aggregator.tasks.memory_store import MemoryTaskStore
from remora_aggregator.testing_tasks import temporary_tasks
from remora_sidecar.leases import Leases
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger

LIMIT = Decimal(1)
KEYS = BudgetKeys("t", "session", "", "pod", "team-a")
BUDGET = {"name": "per-task", "per": "task", "maxCostUSD": str(LIMIT), "onUnreachable": "block"}


class VirtualTime(ManualClock):
    """A clock that one can also sleep by."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.sleepers = []

    async def sleep(self, seconds):
        done = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.monotonic_s() + seconds, done))
        await done

    def advance(self, seconds):
        super().advance(seconds)
        for due_s, done in self.sleepers:
            if due_s <= self.monotonic_s() + 1e-6 and not done.done():
                done.set_result(None)
        self.sleepers = [sleeper for sleeper in self.sleepers if not sleeper[1].done()]


class UnderWay(grpc.aio.UnaryUnaryClientInterceptor):
    """Counts what was asked and not answered yet: a real server needs real time."""

    def __init__(self):  # noqa: D107
        self.nothing = asyncio.Event()
        self.nothing.set()
        self._count = 0

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        self._count += 1
        self.nothing.clear()
        try:
            call = await continuation(client_call_details, request)
            await call.code()
            return call
        finally:
            self._count -= 1
            if not self._count:
                self.nothing.set()


@dataclass(frozen=True)
class SocketTarget:
    """An aggregator on a Unix socket."""

    address: str
    under_way: UnderWay = field(default_factory=UnderWay)

    def aio_channel(self):
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.insecure_channel(
            self.address, options=options, interceptors=[self.under_way]
        )


class Pod:
    """One sidecar's ledger and lease client."""

    def __init__(self, target, clock):  # noqa: D107
        self.clock = clock
        self.spent = Decimal(0)
        self.ledger = Ledger([Budget.model_validate(BUDGET)])
        self.leases = Leases(
            self.ledger, target, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0
        )
        self.task = asyncio.get_running_loop().create_task(self.leases.run())

    async def call(self, usd):
        """Make a call that costs what was thought; tell whether it was let go."""
        amount = Amount(usd, 0)
        waiting = asyncio.ensure_future(self.leases.ready(KEYS, amount, self.clock.now_unix_ns()))
        await settled(waiting)
        admission = self.ledger.reserve(KEYS, amount, self.clock.now_unix_ns())
        if admission.reservation is None:
            return False
        self.ledger.settle(admission.reservation, amount)
        self.spent += usd
        return True

    @property
    def reported(self):
        """What the aggregator was told of."""
        accounts = self.ledger.books[0].accounts.all()
        return sum(Decimal(account.reported[0]) for account in accounts) / 10**12

    async def die(self):
        """Be killed: nothing is returned, nothing more is reported."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def settled(waiting):
    async with asyncio.timeout(20):
        await waiting


@asynccontextmanager
async def fleet(folder, pods):
    clock = VirtualTime()
    store = MemoryTaskStore(clock)
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(
            temporary_tasks(f"unix:{folder}/tasks.sock", clock=clock, store=store)
        )
        target = SocketTarget(tasks.address)
        made = [Pod(target, clock) for _ in range(pods)]
        for pod in made:
            stack.push_async_callback(pod.die)
        yield made, target, clock, store


def book_of(store):
    [book] = store.books.values()
    return book


async def wind(target, clock, seconds, step=1.0):
    """Let time pass, and everybody do what is due."""
    for _ in range(round(seconds / step)):
        clock.advance(step)
        await turns()
        await settled(target.under_way.nothing.wait())
        await turns()


async def turns():
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(4))
async def test_only_what_dying_sidecars_did_not_report_is_overspent(tmp_path, seed):
    source = random.Random(seed)  # noqa: S311 - test data
    async with fleet(tmp_path, 5) as (pods, target, clock, store):
        dead, unreported = [], Decimal(0)
        for _ in range(120):
            pod = source.choice(pods)
            await pod.call(Decimal(source.randint(1, 20)) / 1000)
            if source.random() < 0.05 and len(dead) < 4:
                pods.remove(pod)
                await pod.die()
                dead.append(pod)
                unreported += pod.spent - pod.reported
                pods.append(Pod(target, clock))
            clock.advance(source.choice([0.1, 1.0, 6.0]))
            book = book_of(store)
            assert book.granted.picousd == sum(
                lease.granted.picousd for lease in book.leases.values()
            )
        together = sum(pod.spent for pod in (*pods, *dead))
        for pod in pods:
            await pod.die()

    assert dead
    assert together <= LIMIT + unreported
    assert together >= Decimal("0.8")


async def test_what_a_dead_sidecar_held_the_others_have_after_its_lease(tmp_path):
    async with fleet(tmp_path, 2) as ([one, other], target, clock, store):
        for _ in range(3):
            assert await one.call(Decimal("0.1"))
        await wind(target, clock, 6)
        assert one.reported == one.spent
        await one.die()
        held = book_of(store).granted.picousd
        assert held > 0
        assert await other.call(Decimal("0.6"))
        assert not await other.call(Decimal("0.1"))
        await wind(target, clock, 62)

        assert await other.call(Decimal("0.1"))
        assert not await other.call(Decimal("0.1"))


async def test_nothing_is_lost_where_the_aggregator_restarts(tmp_path):
    clock = VirtualTime()
    store = MemoryTaskStore(clock)
    listen = f"unix:{tmp_path}/tasks.sock"
    target, pod = SocketTarget(listen), None
    for _ in range(4):
        async with temporary_tasks(listen, clock=clock, store=store):
            pod = pod or Pod(target, clock)
            if pod.leases.problem:
                await wind(target, clock, 31)
            assert await pod.call(Decimal("0.2"))
            await wind(target, clock, 6)
        await wind(target, clock, 6)
    async with temporary_tasks(listen, clock=clock, store=store):
        await wind(target, clock, 31)
        assert await pod.call(Decimal("0.2"))
        assert not await pod.call(Decimal("0.05"))
        await wind(target, clock, 6)
        assert book_of(store).spent.picousd == 10**12
        await pod.die()


async def test_an_idle_sidecar_stocks_no_more_than_a_small_part(tmp_path):
    async with fleet(tmp_path, 3) as (pods, _, _, store):
        for pod in pods:
            assert await pod.call(Decimal("0.001"))

        for lease in book_of(store).leases.values():
            assert lease.granted.picousd <= 2 * 10**10
