"""Two sockets joined past the layers: nothing lost, nothing piled up."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from remora_sidecar.interceptor.splice import splice

MUCH = 64 << 20
TURNS = 500


@dataclass
class Side:
    """One side: the transport that is spliced, its reader, and the far end of its socket."""

    transport: asyncio.Transport
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    far: socket.socket


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            near, far = socket.socketpair()
            far.setblocking(False)
            stack.callback(far.close)
            reader, writer = await asyncio.open_connection(sock=near)
            stack.callback(writer.transport.abort)
            made.append(Side(writer.transport, reader, writer, far))
        yield made[0], made[1]
        await asyncio.sleep(0)


def _ignore() -> None:
    """Nobody watches for silence here."""


async def _push(far: socket.socket, most: int) -> int:
    """Write as much as is taken, at most so much; gives how much that was."""
    block, total, refused = bytes(1 << 16), 0, 0
    while total < most and refused < TURNS:
        try:
            total += far.send(block)
            refused = 0
        except BlockingIOError:
            refused += 1
        await asyncio.sleep(0)
    return total


async def _drained(far: socket.socket, expected: int) -> None:
    """Read exactly so much."""
    loop = asyncio.get_running_loop()
    while expected > 0:
        expected -= len(await loop.sock_recv(far, expected))


async def test_a_taker_that_is_full_already_stops_the_giver_at_once(sides) -> None:
    agent, server = sides
    server.writer.write(bytes(1 << 22))
    splice(agent.transport, server.transport, _ignore)

    assert await _push(agent.far, MUCH) < 1 << 22
    await _drained(server.far, 1 << 22)
    assert await _push(agent.far, 1 << 20) > 0


@pytest.mark.parametrize("other_way_too", [True, False], ids=["both ways", "one way"])
async def test_a_slow_taker_slows_the_giver_down(sides, other_way_too) -> None:
    agent, server = sides
    splice(agent.transport, server.transport, _ignore)
    if other_way_too:
        splice(server.transport, agent.transport, _ignore)

    taken = await _push(agent.far, MUCH)

    assert taken < MUCH
    assert server.transport.get_write_buffer_size() < 1 << 20
    await _drained(server.far, taken)


async def test_the_other_direction_is_still_read_by_its_reader(sides) -> None:
    agent, server = sides
    splice(agent.transport, server.transport, _ignore)
    server.far.send(b"for the layers")

    assert await server.reader.read(100) == b"for the layers"


async def test_bytes_pass_unchanged_and_each_is_noticed(sides) -> None:
    agent, server = sides
    noticed = []
    for _ in range(2):  # once more changes nothing
        splice(agent.transport, server.transport, lambda: noticed.append(1))
    sent = os.urandom(1 << 15)
    agent.far.send(sent)
    loop = asyncio.get_running_loop()
    received = b""
    while len(received) < len(sent):
        received += await loop.sock_recv(server.far, 1 << 16)

    assert received == sent
    assert noticed


async def test_an_end_is_told_to_the_reader_and_not_passed_on(sides) -> None:
    agent, server = sides
    splice(agent.transport, server.transport, _ignore)
    agent.far.shutdown(socket.SHUT_WR)

    assert await agent.reader.read() == b""
    assert not server.transport.is_closing()


async def test_a_giver_that_vanishes_is_told_to_its_reader(sides) -> None:
    agent, server = sides
    splice(agent.transport, server.transport, _ignore)
    agent.far.close()

    assert await agent.reader.read() == b""
