"""Sidecars' own lease clients, in processes, on one budget, while aggregator and clients die."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tests.aggregator.faults.replica import replica

_LIMIT = Decimal(1)
_CLIENTS = 3
_PICO = 10**12
_PROGRAM = Path(__file__).with_name("lease_client.py")
_LEAST_CALLS = 10
"""The budget has room for three times as many of the dearest."""
_END_S = 200
"""After each failure a client rests up to half a minute before it asks again."""


@dataclass(slots=True)
class Client:
    """One lease client, and what it said."""

    process: asyncio.subprocess.Process
    cost: Decimal = Decimal(0)
    beyond: Decimal = Decimal(0)
    calls: int = 0
    reading: asyncio.Task[None] | None = field(default=None)

    async def read(self) -> None:
        """Count what it says until it is gone."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                return  # it was killed in the middle of a line
            self.cost += Decimal(said["cost"])
            self.beyond += Decimal(said["beyond"])
            self.calls += 1

    async def end(self) -> None:
        """Have it give its leases back, and wait until it has."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert await asyncio.wait_for(self.process.wait(), _END_S) == 0
        assert self.reading is not None
        await self.reading


async def _started(address, seed):
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_PROGRAM), address, str(_LIMIT), str(seed),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    client = Client(process)
    client.reading = asyncio.ensure_future(client.read())
    return client


def _book(store):
    """Read what the books say: spent, granted, and what leases hold together."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        accounts = connection.execute("select spent_picousd, granted_picousd from accounts")
        held = connection.execute("select granted_picousd from leases where has_grant = 1")
        [(spent, granted)] = accounts.fetchall() or [("0", "0")]
        return int(spent), int(granted), sum(int(amount) for (amount,) in held)


def _check_book(store, clients):
    spent, granted, held = _book(store)
    beyond = sum(client.beyond for client in clients)
    assert granted == held
    assert spent + granted <= (_LIMIT + beyond) * _PICO
    return spent


async def test_no_more_is_spent_and_granted_than_the_limit(tmp_path, chance, kills):
    async with replica(tmp_path / "aggregator", lease_s=600) as server:
        await asyncio.to_thread(server.start)
        store = server.data_dir / "records.db"
        clients = [await _started(server.address, number) for number in range(_CLIENTS)]
        running, dead = list(clients), []
        for number in range(kills):
            await asyncio.sleep(0.5 + chance.random())
            await server.restarted()
            _check_book(store, clients)
            if number % 4 == 1:
                victim = running.pop(chance.randrange(len(running)))
                victim.process.kill()
                await victim.process.wait()
                await victim.reading
                dead.append(victim)
                running.append(await _started(server.address, 100 + number))
                clients.append(running[-1])
        async with asyncio.timeout(_END_S):
            while sum(client.calls for client in clients) <= _LEAST_CALLS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for client in running:
            await client.end()
        spent = _check_book(store, clients)

    together = sum(client.cost for client in clients)
    assert together <= _LIMIT + sum(client.beyond for client in clients)
    known = sum(client.cost for client in running) * _PICO
    assert known <= spent <= (together + _LIMIT / 50) * _PICO
    print(f"{kills} kills, {len(dead)} clients killed, {together} of {_LIMIT} USD spent")
