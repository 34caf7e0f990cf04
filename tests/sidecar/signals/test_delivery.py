"""The delivery of signals, against a SignalService that does what a test says, over real gRPC."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.testing.signal_server import SignalServer, serving_signals
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.signals.delivery import OLD_VERSION_PAUSE_S, SignalDelivery
from remora_sidecar.signals.outbox import Outbox


def signal(number, **fields):
    fields = {"kind": "silence", **fields}
    return pb.Signal(signal_id=f"s{number}", call_id=f"{number:032x}", **fields)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.002)


@dataclass
class Delivering:
    """A delivery that runs, its outbox, and the aggregator that may be there."""

    outbox: Outbox
    delivery: SignalDelivery
    server: SignalServer
    address: str
    stack: AsyncExitStack
    pauses: list[float]
    policy: dict[str, bool]

    async def start_server(self):
        """Have the aggregator answer from now on."""
        await self.stack.enter_async_context(serving_signals(self.server, self.address))

    async def all_gone(self):
        """Wait until nothing waits any more."""
        assert await self.delivery.flush(30)


@pytest.fixture
async def delivering(tmp_path: Path):
    pauses, policy = [], {"text": False}

    async def sleep(seconds):
        pauses.append(seconds)
        await asyncio.sleep(0.005 if seconds < 100 else seconds)

    address = f"unix:{tmp_path}/aggregator.sock"
    outbox = Outbox(tmp_path / "signals.db")
    delivery = SignalDelivery(
        outbox,
        AggregatorTarget(address),
        keeps_text=lambda: policy["text"],
        clock=SystemClock(),
        sleep=sleep,
        jitter=lambda: 1.0,
    )
    async with AsyncExitStack() as stack:
        task = asyncio.get_running_loop().create_task(delivery.run())
        yield Delivering(outbox, delivery, SignalServer(), address, stack, pauses, policy)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await outbox.aclose()


async def test_signals_are_delivered_and_leave_the_outbox(delivering):
    await delivering.start_server()
    await delivering.outbox.take([signal(1), signal(2)])
    kept = await delivering.server.holds(2)
    assert [one.signal_id for one in kept] == ["s1", "s2"]
    await delivering.all_gone()
    await delivering.outbox.take([signal(3)])
    await delivering.server.holds(3)
    await until(lambda: delivering.delivery.delivered_total == 3)
    assert delivering.delivery.problem == ""


async def test_what_waited_while_the_aggregator_was_away_comes_later(delivering, caplog):
    await delivering.outbox.take([signal(1)])
    await until(lambda: len(delivering.pauses) > 3)
    assert "takes no signals" in delivering.delivery.problem
    assert caplog.text.count("wait in the outbox") == 1
    await delivering.start_server()
    await delivering.server.holds(1)
    await until(lambda: not delivering.delivery.problem)


async def test_pauses_grow_while_it_is_away(delivering):
    await delivering.outbox.take([signal(1)])
    await until(lambda: len(delivering.pauses) > 4)
    assert delivering.pauses[:4] == [0.2, 0.4, 0.8, 1.6]


async def test_nothing_is_forgotten_that_was_not_acknowledged(delivering):
    delivering.server.refuses_with = grpc.StatusCode.UNAVAILABLE
    await delivering.start_server()
    await delivering.outbox.take([signal(1)])
    await until(lambda: delivering.server.requests > 2)
    assert len(await delivering.outbox.batch(10, 1 << 20)) == 1
    delivering.server.refuses_with = None
    await delivering.server.holds(1)


async def test_refused_signals_go_and_each_reason_is_told_once(delivering, caplog):
    delivering.server.refused_kinds = {"odd": "no such call", "even": "too old"}
    await delivering.start_server()
    kinds = ["odd", "silence", "odd", "even"]
    await delivering.outbox.take([signal(n, kind=kind) for n, kind in enumerate(kinds)])
    await delivering.all_gone()
    assert list(delivering.server.kept) == ["s1"]
    assert (delivering.delivery.delivered_total, delivering.delivery.refused_total) == (1, 3)
    told = [one.message for one in caplog.records if "refuses signals" in one.message]
    assert len(told) == 2


async def test_one_that_makes_a_request_unfit_goes_alone(delivering, caplog):
    delivering.server.unfit_ids = {"s13"}
    await delivering.start_server()
    await delivering.outbox.take([signal(number) for number in range(40)])
    await delivering.all_gone()
    assert set(delivering.server.kept) == {f"s{number}" for number in range(40)} - {"s13"}
    assert set(delivering.server.came.values()) == {1}
    assert delivering.delivery.refused_total == 1


async def test_an_aggregator_without_signals_is_asked_again_after_long(delivering):
    delivering.server.refuses_with = grpc.StatusCode.UNIMPLEMENTED
    await delivering.start_server()
    await delivering.outbox.take([signal(1)])
    await until(lambda: OLD_VERSION_PAUSE_S in delivering.pauses)
    assert len(await delivering.outbox.batch(10, 1 << 20)) == 1


async def test_texts_leave_only_while_policy_keeps_them(delivering):
    await delivering.start_server()
    delivering.policy["text"] = True
    await delivering.outbox.take([signal(1, text="well said")])
    await delivering.server.holds(1)
    delivering.policy["text"] = False
    await delivering.outbox.take([signal(2, text="a secret")])
    first, second = await delivering.server.holds(2)
    assert (first.text, second.text) == ("well said", "")


async def test_a_flush_delivers_without_lingering(delivering):
    await delivering.outbox.take([signal(1)])
    await until(lambda: delivering.delivery.problem)
    await delivering.start_server()
    assert await delivering.delivery.flush(30)
    assert list(delivering.server.kept) == ["s1"]


async def test_a_flush_ends_in_time_and_keeps_what_was_not_taken(delivering, caplog):
    await delivering.outbox.take([signal(1)])
    assert not await delivering.delivery.flush(0.05)
    assert len(await delivering.outbox.batch(10, 1 << 20)) == 1
    assert "1 signals stay in the outbox" in caplog.text


async def test_texts_and_ids_are_in_no_log(delivering, caplog):
    caplog.set_level(logging.DEBUG)
    delivering.policy["text"] = True
    delivering.server.refused_kinds = {"odd": "no such call"}
    await delivering.start_server()
    await delivering.outbox.take([signal(1, kind="odd", text="my secret", reporter="alice")])
    await delivering.all_gone()
    assert "my secret" not in caplog.text
    assert "alice" not in caplog.text


async def test_the_token_goes_along(tmp_path):
    (tmp_path / "token").write_text("sesame\n")
    server, outbox = SignalServer(), Outbox(tmp_path / "signals.db")
    address = f"unix:{tmp_path}/aggregator.sock"
    target = AggregatorTarget(address, token_file=tmp_path / "token")
    delivery = SignalDelivery(outbox, target, keeps_text=bool, clock=SystemClock())
    async with serving_signals(server, address):
        task = asyncio.get_running_loop().create_task(delivery.run())
        await outbox.take([signal(1)])
        await server.holds(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await outbox.aclose()
    assert server.authorizations == {"Bearer sesame"}
