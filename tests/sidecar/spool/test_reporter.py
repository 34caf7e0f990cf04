import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import grpc
import pytest

from remora.records import Origin
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc
from remora_sidecar.spool.delivery import DeliveryLimits
from remora_sidecar.spool.reporter import Reporter

QUICK = DeliveryLimits(
    linger_s=0, batch_records=10, window_records=20, answer_s=1e6, idle_poll_s=1e6
)
UNKNOWN_FIELD = bytes([0xFA, 0x3E, 2]) + b"hi"


class Aggregator(pb_grpc.RecordServiceServicer):
    """Stores by call id; each test says how it misbehaves."""

    version = "9.9"
    acknowledges = True
    refuses: frozenset[str] = frozenset()
    dies_after_entries: int | None = None
    aborts: grpc.StatusCode | None = None

    def begin(self) -> None:
        self.stored: dict[str, pb.CallRecord] = {}
        self.received: list[str] = []
        self.batches: list[int] = []
        self.hellos: list[pb.ReportRequest.Hello] = []
        self.states: list[pb.SidecarState] = []

    async def Report(self, request_iterator, context):  # noqa: N802  # the method's name on the wire
        if self.aborts is not None:
            await context.abort(self.aborts, "the words of the aggregator")
        async for request in request_iterator:
            if request.HasField("hello"):
                self.hellos.append(request.hello)
            if request.HasField("state"):
                self.states.append(request.state)
            if request.HasField("hello"):
                yield pb.ReportResponse(aggregator_version=self.version)
            if request.entries:
                yield await self._taken(request.entries, context)

    async def _taken(self, entries, context):
        self.batches.append(len(entries))
        answer = pb.ReportResponse()
        answer.MergeFromString(UNKNOWN_FIELD)
        for entry in entries:
            call_id = entry.record.call_id
            self.received.append(call_id)
            if self.dies_after_entries is not None and len(self.received) > self.dies_after_entries:
                self.dies_after_entries = None
                await context.abort(grpc.StatusCode.INTERNAL, "died")
            if call_id in self.refuses:
                answer.refused.add(sequence=entry.sequence, reason="clash")
            else:
                self.stored[call_id] = entry.record
                if self.acknowledges:
                    answer.acknowledged.append(entry.sequence)
        return answer


@dataclass(frozen=True)
class SocketTarget:
    """An aggregator on a Unix socket."""

    address: str

    def aio_channel(self):
        # A pool of its own: the shared one makes a new channel wait out an old one's backoff.
        return grpc.aio.insecure_channel(
            self.address, options=[("grpc.use_local_subchannel_pool", 1)]
        )


@asynccontextmanager
async def serving(servicer, target):
    server = grpc.aio.server()
    pb_grpc.add_RecordServiceServicer_to_server(servicer, server)
    server.add_insecure_port(target.address)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@pytest.fixture
def aggregator():
    aggregator = Aggregator()
    aggregator.begin()
    return aggregator


@pytest.fixture
def target(tmp_path):
    return SocketTarget(f"unix:{tmp_path}/aggregator.sock")


@pytest.fixture
def spool(open_spool):
    return open_spool()


@asynccontextmanager
async def reporting(spool, target, clock, limits=QUICK):
    reporter = Reporter(
        spool,
        target,
        pod_uid="pod-1",
        sidecar_version="1.2.3",
        clock=clock,
        limits=limits,
        sleep=clock.sleep,
        jitter=lambda: 1.0,
    )
    task = asyncio.get_running_loop().create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition):
    """Lets the loop turn until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.001)


async def next_pause(clock):
    """Waits until the reporter pauses; returns for how long."""

    def pauses():
        return [pause for pause in clock.pending_s() if pause < 1e5]

    await until(lambda: len(pauses()) == 1)
    return round(pauses()[0], 6)


async def running(clock, condition):
    """Like `until`, with virtual time passing."""
    async with asyncio.timeout(10):
        while not condition():
            clock.advance(0.05)
            await asyncio.sleep(0.001)


def fill(spool, make_record, count, first=0):
    for number in range(first, first + count):
        spool.append(make_record(number))
    return {f"{number:032x}" for number in range(first, first + count)}


async def test_records_are_delivered_and_forgotten_once_acknowledged(
    spool, target, clock, aggregator, make_record
):
    wanted = fill(spool, make_record, 45)
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await running(clock, lambda: reporter.delivered_total == 45)

        assert spool.depth == 0
        assert set(aggregator.stored) == wanted
        assert len(aggregator.received) == 45
        assert reporter.connected
        assert reporter.problem == ""
        assert reporter.aggregator_version == "9.9"
    assert [(hello.pod_uid, hello.sidecar_version) for hello in aggregator.hellos] == [
        ("pod-1", "1.2.3")
    ]


async def test_a_record_appended_later_is_delivered_too(
    spool, target, clock, aggregator, make_record
):
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await until(lambda: reporter.connected)
        fill(spool, make_record, 1)
        await running(clock, lambda: spool.depth == 0)

    assert len(aggregator.stored) == 1


async def test_the_greeting_says_where_the_sidecar_is_and_how_much_waits(
    open_spool, target, clock, aggregator, make_record
):
    spool = open_spool(limit_bytes=1024 * 1024)
    aggregator.acknowledges = False
    fill(spool, make_record, 45)
    reporter = Reporter(
        spool,
        target,
        pod_uid="pod-1",
        sidecar_version="1.2.3",
        origin=Origin(pod_name="web-1", workload="web", node="n1"),
        policy=lambda: ("team-a/research", "v9"),
        clock=clock,
        limits=QUICK,
        sleep=clock.sleep,
    )
    async with serving(aggregator, target):
        task = asyncio.get_running_loop().create_task(reporter.run())
        await until(lambda: len(aggregator.received) == 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    (hello,) = aggregator.hellos
    assert (hello.pod_name, hello.workload, hello.node) == ("web-1", "web", "n1")
    (state,) = aggregator.states  # once in five seconds, whatever is sent
    assert (state.waiting_records, state.limit_bytes) == (45, 1024 * 1024)
    assert 2048 < state.waiting_bytes < 1024 * 1024
    assert (state.policy, state.policy_version) == ("team-a/research", "v9")


async def test_a_sidecar_with_nothing_to_report_is_heard_of_all_the_same(
    spool, target, clock, aggregator
):
    limits = replace(QUICK, idle_poll_s=30.0)
    async with serving(aggregator, target), reporting(spool, target, clock, limits):
        await until(lambda: len(aggregator.states) == 1)
        for beats in (2, 3):
            await until(lambda: 30.0 in clock.pending_s())
            clock.advance(30.0)
            await until(lambda beats=beats: len(aggregator.states) == beats)

    assert aggregator.batches == []
    assert {(said.waiting_records, said.waiting_bytes) for said in aggregator.states} == {(0, 0)}
    assert not aggregator.states[0].HasField("policy_version")


async def test_what_waits_is_said_again_while_it_is_sent(
    spool, target, clock, aggregator, make_record
):
    fill(spool, make_record, 20)
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await until(lambda: reporter.delivered_total == 20)
        fill(spool, make_record, 1, first=20)
        await running(clock, lambda: reporter.delivered_total == 21)
        assert len(aggregator.states) == 1
        clock.advance(QUICK.state_s)
        fill(spool, make_record, 1, first=21)
        await running(clock, lambda: reporter.delivered_total == 22)

    assert [said.waiting_records for said in aggregator.states] == [20, 1]


async def test_records_that_come_together_travel_together(
    spool, target, clock, aggregator, make_record
):
    limits = replace(QUICK, linger_s=0.1, batch_records=100, window_records=100)
    async with serving(aggregator, target), reporting(spool, target, clock, limits) as reporter:
        await until(lambda: reporter.connected and len(clock.pending_s()) == 2)
        fill(spool, make_record, 1)
        await until(lambda: clock.pending_s()[0] == pytest.approx(0.1))
        fill(spool, make_record, 29, first=1)
        clock.advance(0.1)
        await until(lambda: spool.depth == 0)

    assert aggregator.batches == [30]


async def test_without_acknowledgement_nothing_is_forgotten_and_the_window_holds(
    spool, target, clock, aggregator, make_record
):
    aggregator.acknowledges = False
    fill(spool, make_record, 100)
    async with serving(aggregator, target), reporting(spool, target, clock):
        await until(lambda: len(aggregator.received) == QUICK.window_records)
        for _ in range(50):
            await asyncio.sleep(0)

        assert len(aggregator.received) == QUICK.window_records
        assert spool.depth == 100


async def test_an_aggregator_that_falls_silent_is_left_and_tried_again(
    spool, target, clock, aggregator, make_record
):
    aggregator.acknowledges = False
    wanted = fill(spool, make_record, 5)
    limits = replace(QUICK, answer_s=30.0)
    async with serving(aggregator, target), reporting(spool, target, clock, limits) as reporter:
        await until(lambda: len(aggregator.received) == 5)
        aggregator._taken = hanging(aggregator)
        fill(spool, make_record, 1, first=5)
        await running(clock, lambda: "no answer for" in reporter.problem)
        assert not reporter.connected

        del aggregator._taken
        aggregator.acknowledges = True
        await running(clock, lambda: spool.depth == 0)

    assert set(aggregator.stored) == wanted | {f"{5:032x}"}


def hanging(aggregator):
    async def never(entries, context):
        await asyncio.Event().wait()

    return never


async def test_a_stream_that_dies_in_the_middle_loses_nothing(
    spool, target, clock, aggregator, make_record
):
    aggregator.dies_after_entries = 25
    wanted = fill(spool, make_record, 60)
    async with serving(aggregator, target), reporting(spool, target, clock):
        await running(clock, lambda: spool.depth == 0)

    assert set(aggregator.stored) == wanted
    assert len(aggregator.hellos) == 2


async def test_an_aggregator_that_restarts_gets_the_rest(
    spool, target, clock, aggregator, make_record
):
    first = fill(spool, make_record, 5)
    async with reporting(spool, target, clock) as reporter:
        async with serving(aggregator, target):
            await running(clock, lambda: spool.depth == 0)
        await running(clock, lambda: not reporter.connected)
        second = fill(spool, make_record, 5, first=5)
        async with serving(aggregator, target):
            await running(clock, lambda: spool.depth == 0)

    assert set(aggregator.stored) == first | second
    assert len(aggregator.received) == 10


async def test_refused_records_are_not_sent_again(
    spool, target, clock, aggregator, make_record, caplog
):
    fill(spool, make_record, 5)
    aggregator.refuses = frozenset({f"{2:032x}"})
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await running(clock, lambda: spool.depth == 0)
        assert reporter.delivered_total == 4

    assert aggregator.received.count(f"{2:032x}") == 1
    assert spool.refused_total == 1
    assert "1 records were refused: clash" in caplog.text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "does not know this sidecar's token"),
        (grpc.StatusCode.PERMISSION_DENIED, "may not report"),
        (grpc.StatusCode.UNIMPLEMENTED, "another program, or another version"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_why_nothing_is_taken_is_said(
    status, words, spool, target, clock, aggregator, make_record
):
    aggregator.aborts = status
    fill(spool, make_record, 1)
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await running(clock, lambda: words in reporter.problem)
        assert "the words of the aggregator" in reporter.problem
        assert target.address in reporter.problem
        assert not reporter.connected

        aggregator.aborts = None
        await running(clock, lambda: spool.depth == 0)
        assert reporter.problem == ""


async def test_pauses_between_tries_grow_to_a_bound_and_start_small_again(
    spool, target, clock, aggregator
):
    pauses = []
    async with reporting(spool, target, clock) as reporter:
        for _ in range(10):
            pauses.append(await next_pause(clock))
            clock.advance(pauses[-1])
        assert "can't be reached" in reporter.problem
        assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]

        async with serving(aggregator, target):
            await running(clock, lambda: reporter.connected)
        assert await next_pause(clock) <= 0.2


def refusing(aggregator):
    """Greet, and refuse every batch: what an aggregator does whose store can't be written."""

    async def refuse(entries, context):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the disk is full")

    return refuse


async def test_an_aggregator_that_greets_and_takes_nothing_is_asked_less_and_less_often(
    spool, target, clock, aggregator, make_record, caplog
):
    aggregator._taken = refusing(aggregator)
    wanted = fill(spool, make_record, 3)
    pauses = []
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        for _ in range(6):
            pauses.append(await next_pause(clock))
            clock.advance(pauses[-1])
        assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
        assert "the disk is full" in reporter.problem

        del aggregator._taken
        await running(clock, lambda: reporter.delivered_total == 3)
        assert set(aggregator.stored) == wanted
        assert reporter._next_pause.next_s() <= 0.2
    assert len([line for line in caplog.records if "takes no records" in line.message]) == 1


async def test_a_problem_is_logged_once_and_not_for_every_try(spool, target, clock, caplog):
    async with reporting(spool, target, clock):
        for _ in range(5):
            clock.advance(await next_pause(clock))

    assert len([line for line in caplog.records if "takes no records" in line.message]) == 1


async def test_flush_delivers_what_waits_for_company(spool, target, clock, aggregator, make_record):
    limits = replace(QUICK, linger_s=1000)
    async with serving(aggregator, target), reporting(spool, target, clock, limits) as reporter:
        await until(lambda: reporter.connected and len(clock.pending_s()) == 2)
        wanted = fill(spool, make_record, 30)

        assert await reporter.flush(10)

    assert set(aggregator.stored) == wanted


async def test_flush_does_not_wait_out_a_pause(spool, target, clock, aggregator, make_record):
    fill(spool, make_record, 3)
    async with reporting(spool, target, clock) as reporter:
        for _ in range(8):
            clock.advance(await next_pause(clock))
        assert await next_pause(clock) > 20
        before_s = clock.monotonic_s()
        async with serving(aggregator, target):
            flushing = asyncio.ensure_future(reporter.flush(10))
            await running(clock, flushing.done)

    assert flushing.result()
    assert clock.monotonic_s() - before_s < 20

    assert len(aggregator.stored) == 3


async def test_flush_of_an_empty_spool_is_done_at_once(spool, target, clock):
    async with reporting(spool, target, clock) as reporter:
        assert await reporter.flush(0)


async def test_flush_gives_up_at_its_deadline_and_says_so(
    spool, target, clock, make_record, caplog
):
    fill(spool, make_record, 1)
    async with reporting(spool, target, clock) as reporter:
        assert not await reporter.flush(0.05)

    assert spool.depth == 1
    assert "1 records stay in the spool" in caplog.text


async def test_who_waits_goes_on_once_what_waited_then_is_delivered(
    spool, target, clock, aggregator, make_record
):
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await until(lambda: reporter.connected)
        wanted = fill(spool, make_record, 30)

        waiting = asyncio.gather(*(reporter.caught_up(60) for _ in range(3)))
        await running(clock, waiting.done)
        assert waiting.result() == [True] * 3
        assert set(aggregator.stored) == wanted
        assert await reporter.caught_up(0)


async def test_nobody_waits_for_an_aggregator_that_is_away(spool, target, clock, make_record):
    fill(spool, make_record, 1)
    async with reporting(spool, target, clock) as reporter, asyncio.timeout(60):
        assert not await reporter.caught_up(1e6)


async def test_nobody_waits_longer_than_said_for_one_that_takes_nothing(
    spool, target, clock, aggregator, make_record
):
    aggregator.acknowledges = False
    fill(spool, make_record, 1)
    async with serving(aggregator, target), reporting(spool, target, clock) as reporter:
        await until(lambda: reporter.connected and aggregator.received)

        assert not await reporter.caught_up(0.05)


async def test_stopping_leaves_no_task_behind(spool, target, clock, aggregator, make_record):
    before = asyncio.all_tasks()
    aggregator.acknowledges = False
    fill(spool, make_record, 5)
    async with serving(aggregator, target):
        async with reporting(spool, target, clock):
            await until(lambda: len(aggregator.received) == 5)
        names = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not any(name.startswith("report/") for name in names)


async def test_what_was_delivered_from_memory_is_not_delivered_again(
    open_spool, target, clock, aggregator, make_record, tmp_path
):
    (tmp_path / "blocked").touch()
    spool = open_spool(tmp_path / "blocked" / "spool.sqlite")
    wanted = fill(spool, make_record, 30)
    async with serving(aggregator, target), reporting(spool, target, clock):
        await running(clock, lambda: spool.depth == 0)

    assert set(aggregator.stored) == wanted
    assert len(aggregator.received) == 30


@pytest.mark.parametrize("failing", [OSError("no token file"), ValueError("a bug")])
async def test_credentials_that_cannot_be_read_are_a_problem_and_a_bug_surfaces(
    failing, spool, clock
):
    class Broken:
        address = "aggregator:1"

        def aio_channel(self):
            raise failing

    reporter = Reporter(
        spool, Broken(), pod_uid="", sidecar_version="", clock=clock, sleep=clock.sleep
    )
    task = asyncio.get_running_loop().create_task(reporter.run())
    if isinstance(failing, OSError):
        await until(lambda: "no token file" in reporter.problem)
        task.cancel()
    with pytest.raises(asyncio.CancelledError if isinstance(failing, OSError) else ValueError):
        await task


NOISE = """
from remora.grpc_noise import silence_grpc
silence_grpc()
import asyncio, sys
from pathlib import Path
import grpc
from remora.clock import SystemClock
from remora_sidecar.spool.reporter import Reporter
from remora_sidecar.spool.spool import Spool

class Nowhere:
    address = "127.0.0.1:1"
    def aio_channel(self):
        return grpc.aio.insecure_channel(self.address)

async def main():
    spool = Spool.open(Path(sys.argv[1]) / "spool", clock=SystemClock())
    reporter = Reporter(spool, Nowhere(), pod_uid="", sidecar_version="", clock=SystemClock())
    task = asyncio.get_running_loop().create_task(reporter.run())
    while "can't be reached" not in reporter.problem:
        await asyncio.sleep(0.01)
    (await asyncio.create_subprocess_exec("true")).pid
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    spool.close()

import logging
logging.disable()
asyncio.run(main())
"""


async def test_grpc_prints_nothing_of_its_own(tmp_path):
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", NOISE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
