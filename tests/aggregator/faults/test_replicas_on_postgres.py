"""Two aggregators on one PostgreSQL: each of the three is killed, and so is the network between.

Reporters and followers take either replica, another one after each failure; so what one replica
committed is sent again to the other. The long form is that of `test_killed_aggregator`.
"""

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.aggregator.faults.load import fleet_of, say, under_load
from tests.aggregator.faults.relay import Relay, relaying, to_unix
from tests.aggregator.faults.replica import Replica, replica

from remora.errors import Unavailable
from remora.testing.postgres_server import why_not

_START_TRIES = 5
_BETWEEN_FAULTS = 150


class KeptServer:
    """A PostgreSQL in the hands of another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take the process; waits until the server runs."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._of = process.stdin, process.stdout
        self.folder = self._of.readline().strip()

    def dsn(self) -> str:
        """Say how to connect."""
        return f"host={self.folder} dbname=postgres user=remora"

    def start(self) -> None:
        self._tell("start")

    def kill(self) -> None:
        self._tell("kill")

    def _tell(self, what: str) -> None:
        self._to.write(f"{what}\n")
        self._to.flush()
        assert self._of.readline().strip() == "done"


@pytest.fixture
def server():
    """A server that may be killed, and that writes to its disk as in earnest."""
    if why_not():
        pytest.skip(why_not())
    program = str(Path(__file__).with_name("postgres_keeper.py"))
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield KeptServer(process)
        process.stdin.close()
        assert process.wait(60) == 0


@dataclass(frozen=True, slots=True)
class Machines:
    """A server, the network before it, and who uses it."""

    server: KeptServer
    network: Relay
    replicas: list[Replica]

    @property
    def addresses(self) -> list[str]:
        """Where clients find the replicas."""
        return [each.address for each in self.replicas]


@asynccontextmanager
async def machines(server: KeptServer, folder, count: int = 2):
    """Start replicas, together, on an empty database behind a relay."""
    async with AsyncExitStack() as stack:
        socket = f"{server.folder}/.s.PGSQL.5432"
        network = await stack.enter_async_context(relaying(to_unix(socket)))
        dsn = f"host=127.0.0.1 port={network.port} dbname=postgres user=remora sslmode=disable"
        replicas = [
            await stack.enter_async_context(replica(folder / f"replica-{number}", database=dsn))
            for number in range(count)
        ]
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in replicas))
        yield Machines(server, network, replicas)


async def _kill_a_replica(all_of_it: Machines, chance):
    await chance.choice(all_of_it.replicas).restarted(tries=_START_TRIES)


async def _kill_the_server(all_of_it: Machines, chance):
    await asyncio.to_thread(all_of_it.server.kill)
    await asyncio.sleep(chance.random() / 5)
    await asyncio.to_thread(all_of_it.server.start)


async def _kill_both(all_of_it: Machines, chance):
    await asyncio.to_thread(all_of_it.server.kill)
    starting = asyncio.ensure_future(asyncio.to_thread(all_of_it.server.start))
    await _kill_a_replica(all_of_it, chance)
    await starting


async def _part_the_network(all_of_it: Machines, chance):
    async with all_of_it.network.parted():
        await asyncio.sleep(chance.random() / 2)


async def _cut_the_network(all_of_it: Machines, chance):
    relays = [all_of_it.network, *(each.relay for each in all_of_it.replicas)]
    for _ in range(5):
        chance.choice(relays).cut(chance, 0.5)
        await asyncio.sleep(chance.random() / 20)


async def _stall_the_network(all_of_it: Machines, chance):
    async with all_of_it.network.stalled():
        await asyncio.sleep(chance.random())
        all_of_it.network.cut(chance, 0.5)


_FAULTS = (
    _kill_a_replica, _kill_the_server, _kill_both, _part_the_network, _cut_the_network,
    _stall_the_network,
)  # fmt: skip


async def test_nothing_is_lost_nor_stored_twice_whatever_is_killed(server, tmp_path, chance, kills):
    async with machines(server, tmp_path) as all_of_it:
        fleet = fleet_of(all_of_it.addresses, tmp_path, chance)
        order = [*_FAULTS, *chance.choices(_FAULTS, k=max(0, kills - len(_FAULTS)))]
        chance.shuffle(order)

        async def fail():
            for fault in order:
                await fleet.more(chance.randrange(1, _BETWEEN_FAULTS))
                await fault(all_of_it, chance)
            await fleet.more(50)

        await under_load(fleet, fail, all_of_it.addresses[0])
        killed = sum(each.kills for each in all_of_it.replicas)
        cuts = all_of_it.network.cuts + sum(each.relay.cuts for each in all_of_it.replicas)
        say(fleet, faults=len(order), **{"replicas killed": killed}, cuts=cuts)
        assert fleet.sent_again


def _take_a_later_step(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as newer:
        newer.execute("alter table records add column region text")
        newer.execute("create index records_region on records (namespace, region)")
        newer.execute("insert into remora_migrations (name) values ('9999_regions')")


async def test_an_older_replica_goes_on_while_a_newer_one_adds_to_the_schema(
    server, tmp_path, chance
):
    async with machines(server, tmp_path) as all_of_it:
        running, restarted = all_of_it.replicas
        fleet = fleet_of([running.address], tmp_path, chance)

        async def upgrade():
            await fleet.more(50)
            await asyncio.to_thread(_take_a_later_step, server.dsn())
            await fleet.more(200)
            await asyncio.to_thread(restarted.kill)
            with pytest.raises(Unavailable, match="does not know: 9999_regions"):
                await asyncio.to_thread(restarted.start)

        await under_load(fleet, upgrade, running.address)
        assert (await asyncio.to_thread(running.readiness)).ready
