import asyncio
import time

from remora.testing.virtual_loop import VirtualTimeLoop


def _run(coroutine):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def test_a_long_wait_is_over_at_once_and_counts_in_full():
    async def wait():
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert 3600 <= _run(wait()) < 3601
    assert time.monotonic() - began < 60


def test_timers_keep_their_order():
    async def wait():
        order = []

        async def after(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(*map(after, (30, 10, 20)))
        return order

    assert _run(wait()) == [10, 20, 30]


def test_no_time_passes_while_bytes_move():
    async def talk():
        async def echo(reader, writer):
            writer.write(await reader.readexactly(1_000_000))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * 1_000_000)
        await reader.readexactly(1_000_000)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return asyncio.get_running_loop().time()

    assert _run(talk()) == 0
