"""An aggregator in a process of its own, and clients that want too much of it."""

import asyncio
import gzip
import os
import resource
from contextlib import AsyncExitStack

import grpc
import psutil
import pytest
from tests.aggregator.raw_grpc import RawCall, prefix

from remora.testing.server_process import ServerProcess, part_command
from remora_aggregator.descriptors import room_for
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

MIB = 1 << 20
REPORT = "/remora.v1.RecordService/Report"
QUERY = "/remora.v1.RecordService/Query"
CODE = grpc.StatusCode
TOKEN = "a-token-that-is-long-enough"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


class Served:
    """A process, what it holds in memory, and whether it still answers others."""

    def __init__(self, process):  # noqa: D107
        self.address = process.ready["address"]
        self._process = psutil.Process(process.pid)

    @property
    def resident_bytes(self):
        return self._process.memory_info().rss

    def channel(self):
        return grpc.aio.insecure_channel(self.address, options=OPTIONS)

    async def calls(self, *, within_s=10.0, patiently=False):
        """Ask on a new connection how many calls are stored: what others would notice.

        Patiently: connecting again where there is no room for a connection yet.
        """
        async with self.channel() as channel:
            stub = pb_grpc.RecordServiceStub(channel)
            usage = await stub.Usage(
                pb.UsageRequest(),
                metadata=tuple(AUTHORIZED.items()),
                timeout=within_s,
                wait_for_ready=patiently,
            )
            return sum(row.calls for row in usage.rows)


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(**settings):
        tokens = tmp_path / "tokens"
        tokens.write_text(f"{TOKEN} local\n")
        used = {"listen": "127.0.0.1:0", "token_file": tokens, "drain_s": 0, **settings}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            **{f"REMORA_AGGREGATOR_{name.upper()}": str(value) for name, value in used.items()},
        }
        command = part_command("aggregator", "--ready-json")
        running.append(ServerProcess("aggregator", command, environment, tmp_path / "log"))
        return Served(running[-1])

    yield start
    for process in running:
        process.kill()


def _report(*records):
    entries = [pb.ReportRequest.Entry(sequence=n, record=one) for n, one in enumerate(records)]
    return pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"), entries=entries)


async def _code(call):
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return CODE.OK


async def test_a_message_of_a_gigabyte_is_refused_by_its_announcement(serve):
    served = serve()
    before = served.resident_bytes
    call = await RawCall.begin(served.address, REPORT, headers=AUTHORIZED)
    await call.send(prefix(1 << 30) + bytes(64 * MIB))
    trailers = await call.ended()
    call.close()
    assert trailers["grpc-status"] == str(CODE.RESOURCE_EXHAUSTED.value[0])
    assert served.resident_bytes - before < 50 * MIB
    assert await served.calls() == 0


async def test_a_small_message_that_would_become_a_huge_one_is_not_expanded(serve):
    served = serve()
    before = served.resident_bytes
    bomb = gzip.compress(bytes(400 * MIB), 9)
    headers = AUTHORIZED | {"grpc-encoding": "gzip"}
    call = await RawCall.begin(served.address, REPORT, headers=headers)
    await call.send(prefix(len(bomb), compressed=True) + bomb)
    trailers = await call.ended()
    call.close()
    assert trailers["grpc-status"] == str(CODE.UNIMPLEMENTED.value[0])
    assert served.resident_bytes - before < 50 * MIB
    assert await served.calls() == 0


async def test_of_who_is_not_let_in_no_message_is_read(serve):
    served = serve()
    before = served.resident_bytes
    for method in (REPORT, QUERY):
        call = await RawCall.begin(served.address, method)
        await call.send(prefix(150 * MIB) + bytes(150 * MIB))
        trailers = await call.ended()
        call.close()
        assert trailers["grpc-status"] == str(CODE.UNAUTHENTICATED.value[0])
    assert served.resident_bytes - before < 30 * MIB


@pytest.mark.slow
async def test_a_flood_of_large_messages_is_held_within_bounds(serve, make_record):
    """A gigabyte on eight streams: gRPC takes in one message of each, 32 MiB are read at once."""
    served = serve(bytes_in_flight=32 * MIB)
    await served.calls()
    before, most, size = served.resident_bytes, 0, 16 * MIB
    body = pb.Body(content=os.urandom(size), original_bytes=size)

    async def flood(channel, stream):
        call = pb_grpc.RecordServiceStub(channel).Report(metadata=tuple(AUTHORIZED.items()))
        try:
            for number in range(8):
                record = make_record(stream * 100 + number, request_body=body)
                await call.write(_report(record))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return
        for _ in range(8):
            await call.read()

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        floods = []
        for stream in range(8):
            channel = await stack.enter_async_context(served.channel())
            floods.append(tasks.create_task(flood(channel, stream)))
        while not all(one.done() for one in floods):
            await asyncio.sleep(0.05)
            most = max(most, served.resident_bytes)
            await served.calls(within_s=20.0)
    assert await served.calls() > 8
    assert most - before < 850 * MIB


async def test_clients_that_do_not_read_hold_nobody_up_and_little_memory(serve, make_record):
    served = serve()
    body = pb.Body(content=os.urandom(256 * 1024), original_bytes=256 * 1024)
    async with served.channel() as channel, AsyncExitStack() as stack:
        call = pb_grpc.RecordServiceStub(channel).Report(metadata=tuple(AUTHORIZED.items()))
        for number in range(100):
            await call.write(_report(make_record(number, request_body=body)))
            await call.read()
        call.cancel()
        before = served.resident_bytes
        for _ in range(20):
            slow = await RawCall.begin(served.address, QUERY, headers=AUTHORIZED)
            stack.callback(slow.close)
            await slow.send(prefix(0))
            slow.h2.end_stream(slow.stream)
            await slow.flush()
        for _ in range(5):
            assert await served.calls() == 100
        # 26 MiB are asked for twenty times; a page of each is read.
        assert served.resident_bytes - before < 20 * 8 * MIB


async def test_streams_that_say_nothing_hold_nobody_up(serve, make_record):
    served = serve()
    before = served.resident_bytes
    async with AsyncExitStack() as stack:
        for _ in range(10):
            channel = await stack.enter_async_context(served.channel())
            stub = pb_grpc.RecordServiceStub(channel)
            for _ in range(100):
                silent = stub.Report(metadata=tuple(AUTHORIZED.items()))
                stack.callback(silent.cancel)
                await silent.wait_for_connection()
        assert await served.calls() == 0
        assert served.resident_bytes - before < 1_000 * 64 * 1024


async def test_only_so_many_connect_and_who_leaves_makes_room(serve):
    served = serve(connections=20)
    async with AsyncExitStack() as stack:
        for _ in range(20):
            held = await RawCall.begin(served.address, REPORT, headers=AUTHORIZED)
            stack.callback(held.close)
            await held.hear()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.calls(within_s=2.0)
        assert refused.value.code() in (CODE.UNAVAILABLE, CODE.DEADLINE_EXCEEDED)
    assert await served.calls(patiently=True) == 0


async def test_one_connection_carries_only_so_many_calls_and_others_are_free(serve):
    served = serve(calls_a_connection=5)
    async with served.channel() as channel:
        stub = pb_grpc.RecordServiceStub(channel)
        metadata = tuple(AUTHORIZED.items())
        watches = [stub.Watch(pb.WatchRequest(), metadata=metadata) for _ in range(5)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as waits:
            await stub.Usage(pb.UsageRequest(), metadata=metadata, timeout=0.3)
        assert waits.value.code() is CODE.DEADLINE_EXCEEDED
        assert await served.calls() == 0


async def test_three_hundred_connections_are_nothing_to_others(serve):
    served = serve()
    async with AsyncExitStack() as stack:
        for number in range(300):
            # Some speak, some never finish a greeting.
            if number % 3:
                held = await RawCall.begin(served.address, REPORT, headers=AUTHORIZED)
                stack.callback(held.close)
            else:
                _, writer = await asyncio.open_connection(*_host_and_port(served.address))
                stack.callback(writer.close)
                writer.write(b"PRI * HT")
        assert await served.calls() == 0


def _host_and_port(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


async def test_a_head_that_is_too_large_is_refused(serve):
    served = serve()
    call = await RawCall.begin(served.address, QUERY, headers={"x-filler": "x" * 60_000})
    trailers = await call.ended()
    call.close()
    assert trailers.get("grpc-status") != "0"
    assert await served.calls() == 0


async def test_bytes_that_are_no_http_are_hung_up_on(serve):
    served = serve()
    reader, writer = await asyncio.open_connection(*_host_and_port(served.address))
    writer.write(os.urandom(4096))
    async with asyncio.timeout(10):
        while await reader.read(4096):
            pass
    writer.close()
    assert await served.calls() == 0


@pytest.mark.slow
async def test_ten_thousand_connections_with_silent_streams_are_carried(serve):
    """Each holds a Report stream that has said hello; others are answered in time."""
    wanted = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < wanted + 1_000:
        pytest.skip("the hard limit of open files is too low for ten thousand connections")
    room_for(wanted)
    served = serve(bytes_in_flight=64 * MIB)
    await served.calls()
    before = served.resident_bytes
    hello = _report().SerializeToString()
    async with AsyncExitStack() as stack:
        for _ in range(wanted // 100):
            begun = [RawCall.begin(served.address, REPORT, headers=AUTHORIZED) for _ in range(100)]
            for call in await asyncio.gather(*begun):
                stack.callback(call.close)
                await call.send(prefix(len(hello)) + hello)
        each_bytes = (served.resident_bytes - before) / wanted
        for _ in range(3):
            assert await served.calls() == 0
    assert each_bytes < 100 * 1024
