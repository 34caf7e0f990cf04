"""The lease client against the shipped TaskService, over real gRPC, in time that the tests move."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal

import grpc
import pytest

from remora.policy.limits import Budget
from remora.testing.clock import ManualClock
from remora.testing.lease_server import LeaseServer
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc
from remora_sidecar.leases import RENEW_EVERY_S, WAIT_S, Leases
from remora_sidecar.policy.account import live_lease
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger

KEYS = BudgetKeys("task", "session", "", "pod", "team-a")


class VirtualTime(ManualClock):
    """A clock that one can also sleep by."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.sleepers = []

    async def sleep(self, seconds):
        done = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.monotonic_s() + seconds, done))
        await done

    def pauses(self):
        return [due_s - self.monotonic_s() for due_s, done in self.sleepers if not done.done()]

    def advance(self, seconds):
        super().advance(seconds)
        for due_s, done in self.sleepers:
            if due_s <= self.monotonic_s() + 1e-6 and not done.done():
                done.set_result(None)
        self.sleepers = [sleeper for sleeper in self.sleepers if not sleeper[1].done()]


@dataclass(frozen=True)
class SocketTarget:
    """An aggregator on a Unix socket."""

    address: str

    def aio_channel(self):
        return grpc.aio.insecure_channel(
            self.address, options=[("grpc.use_local_subchannel_pool", 1)]
        )


def budget(**fields):
    values = {"name": "b", "per": "task", "maxCostUSD": "1", "onUnreachable": "block"}
    return Budget.model_validate(values | fields)


def usd(cost):
    return Amount(Decimal(cost), 10)


class Pod:
    """A ledger and its lease client."""

    def __init__(self, target, clock, *budgets):  # noqa: D107
        self.clock = clock
        self.ledger = Ledger(budgets or [budget()])
        self.leases = Leases(
            self.ledger, target, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0
        )

    async def call(self, cost):
        now = self.clock.now_unix_ns()
        await self.leases.ready(KEYS, usd(cost), now)
        return self.ledger.reserve(KEYS, usd(cost), now)

    @asynccontextmanager
    async def running(self):
        task = asyncio.get_running_loop().create_task(self.leases.run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
def target(tmp_path):
    return SocketTarget(f"unix:{tmp_path}/aggregator.sock")


@pytest.fixture
def servicer(clock):
    return LeaseServer(clock)


@asynccontextmanager
async def serving(servicer, target):
    server = grpc.aio.server()
    if servicer is not None:
        pb_grpc.add_TaskServiceServicer_to_server(servicer, server)
    server.add_insecure_port(target.address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def until(condition):
    """Lets the loop turn until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.001)


async def test_the_first_call_of_a_task_waits_for_its_share_and_goes(target, clock, servicer):
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        assert (await pod.call("0.4")).reservation is not None

    assert servicer.requests == 1
    assert pod.leases.problem == ""


async def test_pods_never_overspend_together(target, clock, servicer):
    async with (
        serving(servicer, target),
        Pod(target, clock).running() as one,
        Pod(target, clock).running() as other,
    ):
        admitted = Decimal(0)
        for pod in [one, other] * 10:
            clock.advance(1.5)
            admission = await pod.call("0.15")
            if admission.reservation is not None:
                admitted += Decimal("0.15")
                pod.ledger.settle(admission.reservation, usd("0.15"))

    assert Decimal("0.75") <= admitted <= 1


async def test_calls_that_begin_together_share_one_ask(target, clock, servicer):
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        admissions = await asyncio.gather(*(pod.call("0.1") for _ in range(10)))

    assert all(admission.reservation for admission in admissions)
    assert servicer.requests <= 2


async def test_a_refused_share_is_not_asked_for_again_at_once(target, clock, servicer):
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        for _ in range(5):
            assert (await pod.call("2")).blocked_by is not None
        assert servicer.requests == 1

        clock.advance(1.0)
        await pod.call("2")
        assert servicer.requests == 2


async def test_leases_in_use_are_renewed(target, clock, servicer):
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        assert (await pod.call("0.4")).reservation is not None
        for renewals in range(20):
            await until(lambda: RENEW_EVERY_S in map(round, clock.pauses()))
            clock.advance(RENEW_EVERY_S)
            await until(lambda wanted=renewals + 2: servicer.requests >= wanted)
        await until(lambda: RENEW_EVERY_S in map(round, clock.pauses()))

        [account] = pod.ledger.books[0].accounts.all()
        assert live_lease(account, clock.monotonic_s()) is not None


async def test_a_pod_that_stops_gives_all_back(target, clock, servicer):
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        pod.ledger.settle((await pod.call("0.4")).reservation, usd("0.3"))
        assert await pod.leases.give_back(3.0)

    [account] = servicer.books.accounts.values()
    assert account.spent[0] == Decimal("0.3")
    assert account.granted[0] == 0


@pytest.mark.parametrize(
    ("on_unreachable", "goes"), [("allow", True), ("block", False)], ids=["allow", "block"]
)
async def test_without_an_aggregator_each_budget_decides(target, clock, on_unreachable, goes):
    pod = Pod(target, clock, budget(onUnreachable=on_unreachable))
    async with pod.running():
        admission = await pod.call("0.6")
        await until(lambda: pod.leases.problem)
        assert (admission.reservation is not None) == goes
        assert [verdict.unreachable for verdict in admission.verdicts] == [not goes]
        assert "can't be reached" in pod.leases.problem
        assert (await pod.call("0.6")).reservation is None  # counted here against the whole limit


async def test_an_aggregator_that_keeps_no_budgets_counts_as_away(target, clock, caplog):
    pod = Pod(target, clock, budget(onUnreachable="allow"))
    async with serving(None, target), pod.running():
        assert (await pod.call("0.6")).reservation is not None
        await until(lambda: pod.leases.problem)

    assert "it keeps no budgets: another program, or another version" in pod.leases.problem
    assert len(caplog.messages) == 1


async def test_an_aggregator_that_comes_back_leases_again(target, clock, servicer):
    servicer.refuses_with = grpc.StatusCode.UNAVAILABLE
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        assert (await pod.call("0.4")).blocked_by.unreachable
        await until(lambda: pod.leases.problem and clock.pauses())
        servicer.refuses_with = None
        clock.advance(30.0)
        await until(lambda: not pod.leases.problem)

        assert (await pod.call("0.4")).reservation is not None


async def test_a_silent_aggregator_holds_a_call_up_for_a_moment_only(target, clock, servicer):
    silent = asyncio.Event()

    async def wait(request, context):
        await silent.wait()

    servicer.Lease = wait
    pod = Pod(target, clock, budget(onUnreachable="allow"))
    async with serving(servicer, target), pod.running():
        call = asyncio.ensure_future(pod.call("0.4"))
        await until(lambda: WAIT_S in clock.pauses())
        assert not call.done()
        clock.advance(WAIT_S)

        assert (await call).reservation is not None
        silent.set()


async def test_a_lease_that_is_not_renewed_ends_ten_seconds_early(target, clock, servicer):
    async with serving(servicer, target), Pod(target, clock).running() as pod:
        await pod.call("0.1")
    clock.advance(49.9)
    reserve = pod.ledger.reserve
    assert reserve(KEYS, usd("0.01"), clock.now_unix_ns()).blocked_by is None

    clock.advance(0.1)
    assert reserve(KEYS, usd("0.01"), clock.now_unix_ns()).blocked_by.unreachable


async def test_budgets_per_pod_are_nobody_elses(target, clock, servicer):
    pod = Pod(target, clock, budget(per="pod"), budget(name="cap", per="call"))
    async with serving(servicer, target), pod.running():
        assert (await pod.call("0.9")).reservation is not None
        assert (await pod.call("0.2")).blocked_by.name == "b"

    assert servicer.requests == 0
